import fc from 'fast-check'

/** A random graph without circles: each name needs some of those before it. */
export const randomNeeds = (most: number): fc.Arbitrary<ReadonlyMap<string, readonly string[]>> =>
  fc.array(fc.array(fc.nat(), {maxLength: 4}), {minLength: 1, maxLength: most}).map((picks) => {
    const nameOf = (index: number): string => `s${index}`
    const needsOf = (index: number, all: readonly number[]): readonly string[] =>
      index === 0 ? [] : [...new Set(all.map((pick) => nameOf(pick % index)))]
    return new Map(picks.map((all, index) => [nameOf(index), needsOf(index, all)]))
  })
