const plainWord = /^[\w@%+:,./-]+$/
const plainWordAfterFirst = /^[\w@%+:,./=-]+$/

/** One word as POSIX shells read it back; throws TypeError for NUL, which no argument can carry. */
export function quoteWord(word: string): string {
  if (word.includes('\0')) throw new TypeError('a word for a shell contains a NUL character')
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** A command line that a shell splits into exactly these words; plain words stay bare so that people can read it. */
export function quoteArgv(argv: readonly string[]): string {
  return argv
    .map((word, index) =>
      (index === 0 ? plainWord : plainWordAfterFirst).test(word) ? word : quoteWord(word),
    )
    .join(' ')
}
