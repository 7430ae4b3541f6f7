import type {Finding} from './problems.ts'

/** What flags say instead of the file; text as typed, since the rules of the spec judge it. */
export interface SpecOverrides {
  readonly provider?: string | undefined
  readonly kubernetes?: string | undefined
  readonly controlPlanes?: number | undefined
  /** Size of the one worker pool. */
  readonly workers?: number | undefined
  readonly adminCidrs?: readonly string[] | undefined
  readonly podCidr?: string | undefined
  readonly serviceCidr?: string | undefined
  readonly cni?: string | undefined
  /** Operating system of local nodes: `debian-13`. */
  readonly nodeImage?: string | undefined
  readonly engine?: string | undefined
  /** Subnet of local nodes. */
  readonly subnet?: string | undefined
  readonly apiEndpoint?: string | undefined
  /** Profile of addons. */
  readonly addons?: string | undefined
  /** Ids of addons, besides those of the file. */
  readonly withAddons?: readonly string[] | undefined
  readonly withoutAddons?: readonly string[] | undefined
}

const places = {
  provider: ['spec', 'provider', 'kind'],
  kubernetes: ['spec', 'kubernetes', 'version'],
  controlPlanes: ['spec', 'controlPlane', 'count'],
  adminCidrs: ['spec', 'access', 'adminCidrs'],
  podCidr: ['spec', 'network', 'podCidr'],
  serviceCidr: ['spec', 'network', 'serviceCidr'],
  cni: ['spec', 'network', 'cni'],
  nodeImage: ['spec', 'provider', 'local', 'image'],
  engine: ['spec', 'provider', 'local', 'engine'],
  subnet: ['spec', 'provider', 'local', 'subnet'],
  apiEndpoint: ['spec', 'api', 'endpoint'],
  addons: ['spec', 'addons', 'profile'],
} as const satisfies Record<
  Exclude<keyof SpecOverrides, 'workers' | 'withAddons' | 'withoutAddons'>,
  readonly string[]
>

/** Writes the flags into a document of any shape; where it has no place for them, the schema will say what is wrong. */
export function applyOverrides(document: unknown, overrides: SpecOverrides): readonly Finding[] {
  for (const [key, path] of Object.entries(places)) {
    const value: unknown = Reflect.get(overrides, key)
    if (value !== undefined) put(document, path, value)
  }
  moveAddons(document, overrides.withAddons, 'install', 'without')
  moveAddons(document, overrides.withoutAddons, 'without', 'install')
  return overrides.workers === undefined ? [] : sizePool(document, overrides.workers)
}

/** Adds ids to one list and takes them out of the other: what the command line says last counts. */
function moveAddons(document: unknown, ids: readonly string[] = [], to: string, from: string): void {
  if (ids.length === 0) return
  const listAt = (key: string): readonly unknown[] => {
    const list = child(child(child(document, 'spec'), 'addons'), key)
    return Array.isArray(list) ? list : []
  }
  put(document, ['spec', 'addons', to], [...new Set([...listAt(to), ...ids])])
  const others = listAt(from)
  const left = others.filter((id) => typeof id !== 'string' || !ids.includes(id))
  if (left.length < others.length) put(document, ['spec', 'addons', from], left)
}

function sizePool(document: unknown, count: number): readonly Finding[] {
  const spec = child(document, 'spec')
  const pools = child(spec, 'workers')
  const known: readonly unknown[] = Array.isArray(pools) ? pools : []
  if (known.length > 1) {
    const problem = `sets the size of a single worker pool, but there are ${known.length}; set their counts in the file`
    return [{path: ['spec', 'workers'], value: count, problem}]
  }
  if (known.length === 1) put(known[0], ['count'], count)
  else if (pools === undefined || pools === null || Array.isArray(pools))
    put(document, ['spec', 'workers'], [{count}])
  return []
}

function put(document: unknown, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path
  if (key === undefined || !isMapping(document)) return
  if (rest.length === 0) {
    document[key] = value
    return
  }
  document[key] ??= {}
  put(document[key], rest, value)
}

function child(node: unknown, key: string): unknown {
  return isMapping(node) ? node[key] : undefined
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
