/** What a command that runs another program was given: words of our own, and words for the other. */
export interface SplitArgv {
  readonly own: readonly string[]
  readonly rest: readonly string[]
}

/**
 * Splits at `--`. Without one, our flags are those at the front: `takesValue` and `switches` name them;
 * from the first other word on, everything is for the program, flags included.
 */
export function splitArgv(
  argv: readonly string[],
  known: {takesValue: readonly string[]; switches: readonly string[]},
): SplitArgv {
  const end = argv.indexOf('--')
  if (end !== -1) return {own: argv.slice(0, end), rest: argv.slice(end + 1)}
  let at = 0
  for (let word = argv[at]; word !== undefined; word = argv[at]) {
    if (known.switches.includes(word)) at += 1
    else if (known.takesValue.includes(word)) at += 2
    else if (known.takesValue.some((flag) => word.startsWith(`${flag}=`))) at += 1
    else break
  }
  return {own: argv.slice(0, at), rest: argv.slice(at)}
}

/** Words before `--` and those after it; to be called before oclif's parser, which takes them from the list. */
export function splitAtDashes(argv: readonly string[]): {own: string[]; rest: readonly string[]} {
  const end = argv.indexOf('--')
  return end === -1 ? {own: [...argv], rest: []} : {own: argv.slice(0, end), rest: argv.slice(end + 1)}
}
