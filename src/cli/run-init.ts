import {readFile} from 'node:fs/promises'
import {z} from 'zod'
import {ConfigError} from '../base/errors.ts'
import type {CostEstimate} from '../infrastructure/cost/estimate.ts'
import type {MachineChange} from '../infrastructure/providers/provider.ts'
import type {ClusterSpec} from '../spec/cluster-spec.ts'
import type {InitFlags} from '../workflows/cluster/init.ts'
import type {InitResult, InitScope, Tools} from '../workflows/session/types.ts'
import type {BaseCommand} from './base-command.ts'
import {costLine} from './cost-results.ts'
import {runFlagsOf} from './flags.ts'
import {planText, runText} from './results.ts'
import {specFromFlags, type SpecFlagValues} from './spec-flags.ts'

type BringUpFlags = SpecFlagValues &
  Parameters<typeof runFlagsOf>[0] & {
    readonly bundle?: string | undefined
    readonly yes?: boolean
    readonly 'machines-from'?: string | undefined
  }

/** What create, setup, init and plan share: the spec, the question, the run and its result. */
export async function bringUp(
  command: BaseCommand,
  scope: InitScope,
  name: string | undefined,
  flags: BringUpFlags,
): Promise<InitResult> {
  const tools = await command.tools({bundleDir: flags.bundle})
  const spec = await specFromFlags(name, flags, tools.store, tools.contexts)
  const {initCluster} = await import('../workflows/cluster/init.ts')
  command.logTo(spec.name)
  if (flags.config === undefined) await noteNewName(spec.name, tools)
  const run = runFlagsOf(flags)
  const confirm: InitFlags['confirm'] = async (changes, cost) => {
    const question = questionFor(spec, changes, cost)
    if (question === undefined) return
    await command.ask({text: question, declined: 'no machine was changed', yes: flags.yes ?? false})
  }
  const machinesFrom = flags['machines-from']
  const outputs = machinesFrom === undefined ? {} : {outputs: await readOutputs(machinesFrom)}
  const result = await initCluster(spec, scope, {...run, ...outputs, confirm}, tools)
  const options = {colours: command.colours, columns: command.terminal.columns}
  await command.show({...result, dryRun: run.dryRun}, () =>
    run.dryRun ? planText(result, options) : runText(result, options),
  )
  return result
}

/** What `terraform output -json` printed elsewhere. Throws ConfigError CONFIG_UNREADABLE. */
async function readOutputs(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (cause) {
    const said = cause instanceof SyntaxError ? 'it is not JSON' : 'it is not in the format of outputs'
    throw new ConfigError('CONFIG_UNREADABLE', `no machines can be read from ${path}: ${said}`, {
      cause,
      suggestions: [`write that file where Terraform runs: terraform output -json > ${path}`],
    })
  }
}

/** A mistyped name would quietly describe another cluster. */
export async function noteNewName(
  name: string,
  {store, report}: {readonly store: Pick<Tools['store'], 'list'>; readonly report: Tools['report']},
): Promise<void> {
  const known = await store.list()
  if (known.length === 0 || known.includes(name)) return
  const text = `${name} is a new cluster: it has no record here; recorded clusters: ${known.join(', ')}`
  report({type: 'note', level: 'info', text})
}

/** Asked before anything that costs money or destroys; containers on this machine do neither when they are made. */
export function questionFor(
  spec: ClusterSpec,
  changes: readonly MachineChange[],
  cost?: CostEstimate,
): string | undefined {
  const paid = spec.provider.kind === 'aws' || spec.provider.kind === 'azure'
  const grave = paid ? changes : changes.filter(({action}) => action === 'remove' || action === 'replace')
  if (grave.length === 0) return undefined
  const lines = grave.map(({action, what, reason}) => `  ${action} ${what} (${reason})`)
  const price = cost === undefined ? '' : `the cluster costs ${costLine(cost)}\n`
  return `${paid ? 'changes in the cloud' : 'changes to machines'}:\n${lines.join('\n')}\n${price}continue?`
}
