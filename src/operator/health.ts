/** What a program says of itself to the kubelet. */
export interface Health {
  /** Why it has to be started anew: what only that can cure. Undefined: it need not be. */
  readonly problem: () => string | undefined
  /** Why it cannot do its work yet, or for the moment. Undefined: it can. */
  readonly unready: () => string | undefined
}
