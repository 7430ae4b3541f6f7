import {Errors, type Hook} from '@oclif/core'
import {distance} from 'fastest-levenshtein'

/** More letters than this part of what was typed are not a slip. */
const LARGEST_SLIP = 1 / 3

/**
 * The command, or topic, that mistyped words stand for, arguments left out; undefined: they are like none.
 * `names` are those of commands: `kubeadm init`.
 */
export function commandMeant(words: readonly string[], names: readonly string[]): string | undefined {
  const [first = '', second] = words
  const split = names.map((name) => name.split(' '))
  const begin = likely(
    first,
    split.flatMap(([word]) => word ?? []),
  )
  if (begin === undefined) return undefined
  const below = split.flatMap(([topic, word]) => (topic === begin && word !== undefined ? [word] : []))
  const end = second === undefined ? undefined : likely(second, below)
  if (end !== undefined) return `${begin} ${end}`
  return begin === first ? undefined : begin
}

function likely(typed: string, known: readonly string[]): string | undefined {
  const most = Math.ceil(typed.length * LARGEST_SLIP)
  const near = known.map((name) => ({name, slips: distance(typed, name)})).filter(({slips}) => slips <= most)
  // Of two that are equally near, letters in the wrong order are the likelier slip.
  const rank = ({name, slips}: {name: string; slips: number}): number =>
    slips - (lettersOf(name) === lettersOf(typed) ? 0.5 : 0)
  return near.toSorted((one, other) => rank(one) - rank(other))[0]?.name
}

const lettersOf = (word: string): string => word.split('').sort().join('')

/** oclif's hook for words that are no command: exit code 2, and the command that was probably meant. */
const commandNotFound: Hook.CommandNotFound = ({id, config}) => {
  const words = id.split(':')
  const names = config.commands
    .filter(({hidden}) => !hidden)
    .map((command) => command.id.replaceAll(':', ' '))
  const meant = commandMeant(words, names)
  const hint = meant === undefined ? '' : `; did you mean "${config.bin} ${meant}"?`
  throw new Errors.CLIError(`"${config.bin} ${words.join(' ')}" is not a command${hint}`)
}
export default commandNotFound
