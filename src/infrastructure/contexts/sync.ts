import type {CloudOpener} from '../clouds/cloud.ts'
import {ClouderError} from '../../base/errors.ts'
import {accountOf, type Context, regionOf} from '../../spec/context.ts'
import {isClusterName} from '../../store/names.ts'
import type {ContextStore, NamedContext} from './contexts.ts'

/** An account that the clouds' own configuration on this machine leads to. */
export interface FoundAccount {
  /** What it is called there: a profile, a subscription's name. */
  readonly title: string
  readonly context: Context
}

export interface SyncRow {
  readonly name: string
  readonly provider: Context['provider']
  readonly account: string | undefined
  readonly change: 'created' | 'updated' | 'unchanged' | 'failed'
  /** Why it failed. */
  readonly problem?: string
}

/**
 * Makes contexts for accounts that are found here and have none, and fills in the account of those that have none
 * yet. What a context says is never changed, and none is removed; one whose credentials fail is told and left alone.
 */
export async function syncContexts(
  found: readonly FoundAccount[],
  tools: {readonly contexts: ContextStore; readonly openCloud: CloudOpener; readonly signal: AbortSignal},
): Promise<readonly SyncRow[]> {
  const known = await tools.contexts.list()
  const rows: SyncRow[] = []
  for (const each of known) rows.push(await syncOne(each.name, each.context, false, tools))
  const taken = new Set(known.map(({name}) => name))
  for (const {title, context} of found) {
    if (known.some((each) => isSameAccount(each, context))) continue
    const name = freeName(title, context.provider, taken)
    taken.add(name)
    rows.push(await syncOne(name, context, true, tools))
  }
  return rows
}

async function syncOne(
  name: string,
  context: Context,
  isNew: boolean,
  {contexts, openCloud, signal}: Parameters<typeof syncContexts>[1],
): Promise<SyncRow> {
  const {provider} = context
  try {
    const full = await withAccount(context, openCloud, signal)
    if (isNew || accountOf(full) !== accountOf(context)) await contexts.set(name, full, {makeCurrent: false})
    const change = isNew ? 'created' : accountOf(full) === accountOf(context) ? 'unchanged' : 'updated'
    return {name, provider, account: accountOf(full), change}
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof ClouderError)) throw error
    return {name, provider, account: accountOf(context), change: 'failed', problem: error.message}
  }
}

/** The context with the account that its credentials are of. Throws InfrastructureError ACCOUNT_MISMATCH, … */
async function withAccount(context: Context, openCloud: CloudOpener, signal: AbortSignal): Promise<Context> {
  const isAws = context.provider === 'aws'
  const cloud = await openCloud({
    kind: context.provider,
    // Who somebody is, is the same everywhere.
    region: regionOf(context) ?? (isAws ? 'us-east-1' : 'westeurope'),
    profile: isAws ? context.profile : undefined,
    account: accountOf(context),
    signal,
  })
  const {account} = await cloud.identity(signal)
  return isAws ? {...context, account} : {...context, subscription: account}
}

function isSameAccount({context}: NamedContext, found: Context): boolean {
  if (context.provider === 'aws' && found.provider === 'aws') return context.profile === found.profile
  return context.provider === found.provider && accountOf(context) === accountOf(found)
}

function freeName(title: string, provider: string, taken: ReadonlySet<string>): string {
  const label = title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 50)
  const base = isClusterName(label) && label !== 'default' ? label : `${provider}-${label}`.replace(/-$/, '')
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? base : `${base}-${number}`
    if (!taken.has(name)) return name
  }
}

/** Profiles of an AWS configuration file, `[profile dev]` and `[default]`, with their regions. */
export function parseProfiles(text: string): readonly FoundAccount[] {
  const found: FoundAccount[] = []
  for (const section of text.split(/^(?=\s*\[)/m)) {
    const [, name] = /^\s*\[\s*(?:profile\s+)?([^\]\s]+)\s*\]/.exec(section) ?? []
    if (name === undefined || /^\s*\[\s*(sso-session|services)\s/.test(section)) continue
    const [, region] = /^\s*region\s*=\s*(\S+)/m.exec(section) ?? []
    found.push({
      title: name,
      context: {provider: 'aws', profile: name, ...(region === undefined ? {} : {region})},
    })
  }
  return found
}
