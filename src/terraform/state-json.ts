import {z} from 'zod'

/** Of `terraform show -json`: https://developer.hashicorp.com/terraform/internals/json-format#values-representation */
const stateSchema = z.looseObject({
  values: z
    .looseObject({
      root_module: z.looseObject({
        resources: z
          .array(z.looseObject({address: z.string(), values: z.looseObject({id: z.string().optional()})}))
          .default([]),
      }),
    })
    .optional(),
})

/** What the cloud calls resources of a state, in the order of the addresses; the address itself where it has no id. */
export function idsOf(text: string, addresses: readonly string[]): readonly string[] {
  const {values} = stateSchema.parse(JSON.parse(text))
  const ids = new Map(values?.root_module.resources.map((each) => [each.address, each.values.id]))
  return addresses.map((address) => ids.get(address) ?? address)
}
