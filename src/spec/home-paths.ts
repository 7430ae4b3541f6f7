import {join, resolve} from 'node:path'
import type {ClusterSpec} from './cluster-spec.ts'
import type {Machine, SecretRef} from './machine.ts'

/** A path below the user's home where it begins with `~/`; others as they are. */
export function expandHome(path: string, userHome: string): string {
  return path.startsWith('~/') ? join(userHome, path.slice(2)) : path
}

/** A path that means the same file from any folder; `~/` stays, so that a record holds for whoever's home it is read in. */
export function fromFolder(path: string, folder: string): string {
  return path.startsWith('~/') ? path : resolve(folder, path)
}

/** The machine with the key files of its own and its bastion's login below the user's home, ready to be read. */
export function machineAtHome(machine: Machine, userHome: string): Machine {
  return {...machine, ssh: withPaths(machine.ssh, (path) => expandHome(path, userHome))}
}

/** The spec with every relative path of its SSH access made absolute. */
export function specFromFolder(spec: ClusterSpec, folder: string): ClusterSpec {
  const change = (path: string) => fromFolder(path, folder)
  const {controlPlane, workers} = spec
  return {
    ...spec,
    ssh: withPaths(spec.ssh, change),
    controlPlane: {...controlPlane, hosts: controlPlane.hosts.map((host) => withPaths(host, change))},
    workers: workers.map((pool) => ({...pool, hosts: pool.hosts.map((host) => withPaths(host, change))})),
  }
}

interface Access {
  readonly keyPath?: string | undefined
  readonly sudoPassword?: SecretRef | undefined
  readonly bastion?: {readonly keyPath?: string | undefined} | undefined
}

function withPaths<T extends Access>(access: T, change: (path: string) => string): T {
  const {keyPath, sudoPassword, bastion} = access
  return {
    ...access,
    ...(keyPath === undefined ? {} : {keyPath: change(keyPath)}),
    ...(sudoPassword === undefined || 'env' in sudoPassword
      ? {}
      : {sudoPassword: {file: change(sudoPassword.file)}}),
    ...(bastion?.keyPath === undefined ? {} : {bastion: {...bastion, keyPath: change(bastion.keyPath)}}),
  }
}
