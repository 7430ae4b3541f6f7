/** How often a property is tried: all times in the integration suite, a fifth of them in the unit suite, which is waited for. */
export const runsOf = (all: number): number =>
  process.env['CLOUDER_FEW_RUNS'] === '1' ? Math.ceil(all / 5) : all
