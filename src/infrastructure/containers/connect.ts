import {stat} from 'node:fs/promises'
import {systemCode} from '../../base/system-errors.ts'
import {InfrastructureError} from '../errors.ts'
import type {ContainerEngine} from './container-engine.ts'
import {engineFailed} from './engine-errors.ts'
import {openEngine} from './engine.ts'

const defaultSockets = {
  docker: ['/var/run/docker.sock'],
  podman: ['/run/podman/podman.sock'],
} as const

const ANSWER_TIMEOUT_MS = 10_000

export interface ConnectEngineOptions {
  readonly engine: 'auto' | 'docker' | 'podman'
  /** DOCKER_HOST is read from it. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

/**
 * The container engine of this machine, its calls ending with the signal: DOCKER_HOST when it is set, else the first default socket that answers.
 * Throws InfrastructureError ENGINE_MISSING, ENGINE_NOT_PERMITTED or ENGINE_FAILED.
 */
export async function connectEngine(options: ConnectEngineOptions): Promise<ContainerEngine> {
  const sockets = socketsOf(options)
  const problems: string[] = []
  for (const socket of sockets) {
    try {
      return await openEngine(socket, {signal: options.signal, answerTimeoutMs: ANSWER_TIMEOUT_MS})
    } catch (error) {
      options.signal.throwIfAborted()
      problems.push(`${socket}: ${await problemOf(socket, error)}`)
    }
  }
  throw new InfrastructureError('ENGINE_MISSING', `no container engine responds (${problems.join('; ')})`, {
    suggestions: [
      'npm run quickstart',
      'install and start one: apt-get install docker.io && systemctl start docker',
      'use existing machines: spec.provider.kind: byon',
    ],
  })
}

function socketsOf({engine, environment}: ConnectEngineOptions): readonly string[] {
  const dockerHost = environment['DOCKER_HOST'] ?? ''
  if (dockerHost !== '' && engine !== 'podman') {
    if (dockerHost.startsWith('unix://')) return [dockerHost.slice('unix://'.length)]
    throw new InfrastructureError(
      'ENGINE_FAILED',
      `DOCKER_HOST is "${dockerHost}", but local nodes need an engine on this machine (unix://…), because clouder connects to their addresses directly`,
      {suggestions: ['unset DOCKER_HOST', 'export DOCKER_HOST=unix:///var/run/docker.sock']},
    )
  }
  if (engine === 'auto') return [...defaultSockets.docker, ...defaultSockets.podman]
  return defaultSockets[engine]
}

/** What stands in the way; throws where going on to the next socket would hide a cause the user can remove. */
async function problemOf(socket: string, error: unknown): Promise<string> {
  switch (systemCode(error)) {
    case 'ENOENT':
      return 'no such socket'
    case 'ECONNREFUSED':
      return 'nothing listens on this socket'
    case 'EACCES':
    case 'EPERM':
      throw notPermitted(socket, await groupOf(socket), error)
    default:
      if (error instanceof Error && error.name === 'TimeoutError') {
        return `no response within ${ANSWER_TIMEOUT_MS / 1000} s`
      }
      throw engineFailed(`requesting the version of the engine at ${socket}`, error)
  }
}

function notPermitted(socket: string, group: string, cause: unknown): InfrastructureError {
  return new InfrastructureError(
    'ENGINE_NOT_PERMITTED',
    `permission denied for the container engine at ${socket}: the socket belongs to group ${group}`,
    {
      cause,
      suggestions: [
        'join the group, then log in again: sudo usermod -aG docker "$USER"',
        'or run the same command with sudo',
      ],
    },
  )
}

async function groupOf(socket: string): Promise<string> {
  try {
    return `${(await stat(socket)).gid}`
  } catch (error) {
    return systemCode(error) ?? 'unknown'
  }
}
