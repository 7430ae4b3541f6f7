import {expect} from 'vitest'
import {z} from 'zod'
import {machineSchema} from '../../src/spec/machine.ts'
import {type Body, Found, textOf} from './azure-rules/rule.ts'
import {type AzureSettings, azureSpec, azureStack} from './azure-stack.ts'
import {elementsOf} from './terraform-schema.ts'

/** The stack of a spec, to look into. */
export const made = (azure: AzureSettings = {}, rest: AzureSettings = {}): Found =>
  new Found(elementsOf(azureStack(azureSpec(azure, rest))))

export const names = (found: Found, type: string): readonly string[] => found.of(type).map(({name}) => name)

/** One resource, which must be there. */
export function only(found: Found, type: string, name: string): Body {
  const element = found.of(type).find((one) => one.name === name)
  expect(element, `${type}.${name}`).toBeDefined()
  return element?.body ?? {}
}

/** Outputs of a stack, still with references in them. */
export const outputsSchema = z.object({
  output: z.object({
    machines: z.object({
      value: z.array(
        machineSchema.extend({cloudId: z.string(), imageId: z.string(), providerId: z.string()}),
      ),
    }),
    endpoint: z.object({
      value: z.strictObject({internal: z.string(), external: z.string(), certSans: z.array(z.string())}),
    }),
    bastion: z
      .object({value: z.strictObject({address: z.string(), user: z.string(), cloudId: z.string()})})
      .optional(),
    checkpoints: z.object({value: z.string()}),
    addons: z.object({value: z.record(z.string(), z.string())}),
  }),
})
export const outputs = (azure: AzureSettings = {}, rest: AzureSettings = {}) =>
  outputsSchema.parse(azureStack(azureSpec(azure, rest))).output

/** What Terraform makes of `base64encode(replace(base64decode("…"), "@API_ADDRESS@", …))`. */
export function controlPlaneText(address: string): string {
  const data = textOf(only(made(), 'azurerm_linux_virtual_machine', 'cp-1').custom_data)
  const [, encoded = ''] = /base64decode\("([^"]+)"\)/.exec(data) ?? []
  return Buffer.from(encoded, 'base64').toString('utf8').replaceAll('@API_ADDRESS@', address)
}
