import fc from 'fast-check'

/** A random graph without circles of at most, or exactly, so many names: each needs some of those before it. */
export const randomNeeds = (most: number, least = 1): fc.Arbitrary<ReadonlyMap<string, readonly string[]>> =>
  // Without size arrays stay far below their greatest length.
  fc
    .array(fc.array(fc.nat(), {maxLength: 4, size: 'max'}), {minLength: least, maxLength: most, size: 'max'})
    .map((picks) => {
      const nameOf = (index: number): string => `s${index}`
      const needsOf = (index: number, all: readonly number[]): readonly string[] =>
        index === 0 ? [] : [...new Set(all.map((pick) => nameOf(pick % index)))]
      return new Map(picks.map((all, index) => [nameOf(index), needsOf(index, all)]))
    })
