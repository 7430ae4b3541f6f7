import fc from 'fast-check'

const SURROGATES = {first: 0xd800, count: 0x800}

/** As the units of `fc.string({unit: 'binary'})`, which lists every character there is before the first run: 0.7 s. */
const character = fc.nat({max: 0x10ffff - SURROGATES.count}).map(
  (number) => String.fromCodePoint(number < SURROGATES.first ? number : number + SURROGATES.count),
  (value) => {
    const point = typeof value === 'string' ? value.codePointAt(0) : undefined
    if (point === undefined || value !== String.fromCodePoint(point)) throw new TypeError('no character')
    return point < SURROGATES.first ? point : point - SURROGATES.count
  },
)

/** Any text that has a UTF-8 form. */
export const anyText = (
  length: {readonly minLength?: number; readonly maxLength?: number} = {},
): fc.Arbitrary<string> => fc.string({unit: character, ...length})
