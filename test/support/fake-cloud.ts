import type {Cloud, OwnedResource} from '../../src/infrastructure/clouds/cloud.ts'
import {InfrastructureError} from '../../src/infrastructure/errors.ts'

export interface FakeCloudOptions {
  /** Ids by the ids that hold them: one that is held is busy. */
  readonly heldBy?: Readonly<Record<string, string>>
  /** Ids that nobody may remove. */
  readonly refused?: readonly string[]
  /** Ids that were asked away and stay for ever. */
  readonly sticky?: readonly string[]
  readonly kind?: Cloud['kind']
  /** Names of clusters that own something. */
  readonly clusters?: readonly string[]
}

/** Things in an account, in memory: for what is done with a Cloud, never for what a cloud is like. */
export class FakeCloud implements Cloud {
  readonly kind: Cloud['kind']
  readonly region = 'eu-central-1'
  /** Ids whose removal was asked for, in order. */
  readonly asked: string[] = []
  readonly #options: FakeCloudOptions
  readonly #things: Map<string, OwnedResource>

  constructor(things: readonly OwnedResource[], options: FakeCloudOptions = {}) {
    this.kind = options.kind ?? 'aws'
    this.#options = options
    this.#things = new Map(things.map((thing) => [thing.id, thing]))
  }

  /** Something that somebody else makes or removes. */
  put(thing: OwnedResource): void {
    this.#things.set(thing.id, thing)
  }

  drop(id: string): void {
    this.#things.delete(id)
  }

  ids(): readonly string[] {
    return [...this.#things.keys()]
  }

  identity(): ReturnType<Cloud['identity']> {
    return Promise.resolve({kind: this.kind, account: '123456789012', principal: 'me', region: this.region})
  }

  hostKeys(): ReturnType<Cloud['hostKeys']> {
    return Promise.resolve(new Map())
  }

  findOwned(): ReturnType<Cloud['findOwned']> {
    return Promise.resolve([...this.#things.values()])
  }

  ownedClusters(): ReturnType<Cloud['ownedClusters']> {
    return Promise.resolve(this.#options.clusters ?? [])
  }

  remove({id}: OwnedResource): ReturnType<Cloud['remove']> {
    this.asked.push(id)
    if (this.#options.refused?.includes(id) === true)
      return Promise.reject(
        new InfrastructureError('CLOUD_REFUSED', `the permission to remove ${id} is missing`),
      )
    const holder = this.#options.heldBy?.[id]
    if (holder !== undefined && this.#things.has(holder)) return Promise.resolve('busy')
    if (this.#options.sticky?.includes(id) !== true) this.#things.delete(id)
    return Promise.resolve('removed')
  }

  regions(): ReturnType<Cloud['regions']> {
    return Promise.resolve([])
  }

  vmSizes(): ReturnType<Cloud['vmSizes']> {
    return Promise.resolve([])
  }

  check(): ReturnType<Cloud['check']> {
    return Promise.resolve([])
  }
}

/** A thing of cluster demo. */
export const owned = (
  kind: OwnedResource['kind'],
  id: string,
  more: Partial<OwnedResource> = {},
): OwnedResource => ({
  id,
  kind,
  region: 'eu-central-1',
  name: id,
  madeBy: 'controller',
  holdsData: kind === 'volume' || kind === 'snapshot' || kind === 'bucket' || kind === 'file-system',
  ...more,
})
