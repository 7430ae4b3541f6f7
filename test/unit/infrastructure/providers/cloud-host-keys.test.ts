import {expect, test} from 'vitest'
import {InfrastructureError} from '../../../../src/infrastructure/errors.ts'
import {knownHostKeys, readHostKeys} from '../../../../src/infrastructure/providers/cloud-host-keys.ts'
import {specFromDocument} from '../../../../src/spec/load.ts'
import {FakeCloud} from '../../../support/fake-cloud.ts'
import {memoryStore} from '../../../support/memory-store.ts'
import {recordingReport} from '../../../support/recording-report.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const KEY = 'ssh-ed25519 AAAA'
const away = new InfrastructureError(
  'CLOUD_UNREACHABLE',
  'AWS is temporarily unable to run ec2:GetConsoleOutput',
)

/** Answers to one call for the host keys after the other, the last one for ever. */
class ConsoleCloud extends FakeCloud {
  readonly answers: (ReadonlyMap<string, readonly string[]> | Error)[]

  constructor(...answers: ConsoleCloud['answers']) {
    super([])
    this.answers = answers
  }

  override hostKeys(): ReturnType<FakeCloud['hostKeys']> {
    const answer = (this.answers.length > 1 ? this.answers.shift() : this.answers[0]) ?? away
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  }
}

const read = (cloud: ConsoleCloud, dir: string, timeoutMs: number) =>
  readHostKeys(
    ['i-1'],
    specFromDocument({
      apiVersion: 'clouder.dev/v1alpha1',
      kind: 'Cluster',
      metadata: {name: 'demo'},
      spec: {provider: {aws: {region: 'eu-central-1'}}, ssh: {hostKeys: 'first-use'}},
    }),
    {
      paths: memoryStore().paths('demo'),
      report: recordingReport().report,
      signal: new AbortController().signal,
    },
    {dir, cloud: () => Promise.resolve(cloud), timeoutMs, intervalMs: 1},
  )

test('a console that cannot be asked once is asked again', () =>
  withTempFolder(async (dir) => {
    const keys = await read(new ConsoleCloud(away, new Map(), away, new Map([['i-1', [KEY]]])), dir, 5_000)
    expect(keys.get('i-1')).toEqual([KEY])
  }))

test('a console that was never asked is not one without a key: what the first connection shows is not pinned', () =>
  withTempFolder(async (dir) => {
    await expect(read(new ConsoleCloud(away), dir, 20)).rejects.toBe(away)
    expect(await knownHostKeys(dir)).toEqual(new Map())
  }))
