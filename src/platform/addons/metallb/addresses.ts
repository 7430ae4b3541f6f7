import {z} from 'zod'

/** IPv4 as a number, to compare. */
const numberOf = (address: string): number =>
  address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)

/** `10.0.0.240-10.0.0.250`, or a network such as `10.0.0.240/28`. */
export const addressRange = z.string().refine(
  (text) => {
    const [first = '', last, ...rest] = text.split('-')
    if (last === undefined) return z.cidrv4().safeParse(text).success
    const isAddress = (address: string) => z.ipv4().safeParse(address).success
    return rest.length === 0 && isAddress(first) && isAddress(last) && numberOf(first) <= numberOf(last)
  },
  {error: 'expected a range such as 10.0.0.240-10.0.0.250, or a network such as 10.0.0.240/28'},
)
