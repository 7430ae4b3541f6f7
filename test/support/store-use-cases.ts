/** The namespaces of `STORE_USE_CASES`, with their labels. */
export const NAMESPACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  red: {'stores.clouder.dev/archive': 'true', tier: 'gold'},
  blue: {'stores.clouder.dev/archive': 'false', tier: ''},
  plain: {},
}

export interface StoreUseCase {
  readonly store: string
  readonly allowed?: {readonly names?: string[]; readonly matchLabels?: Record<string, string>}
  /** Who may use it. */
  readonly may: readonly string[]
}

/** What admission and agents must see alike. */
export const STORE_USE_CASES: readonly StoreUseCase[] = [
  {store: 'default', may: ['red', 'blue', 'plain']},
  {store: 'archive', may: ['red']},
  {store: 'archive', allowed: {}, may: []},
  {store: 'archive', allowed: {names: ['blue', 'absent']}, may: ['blue']},
  {store: 'archive', allowed: {matchLabels: {tier: 'gold'}}, may: ['red']},
  {store: 'archive', allowed: {matchLabels: {tier: ''}}, may: ['blue']},
  {store: 'archive', allowed: {matchLabels: {}}, may: ['red', 'blue', 'plain']},
  {store: 'archive', allowed: {names: ['plain'], matchLabels: {tier: 'gold'}}, may: ['red', 'plain']},
  {store: 'default', allowed: {names: ['plain']}, may: ['plain']},
]
