import {expect, test} from 'vitest'
import {infrastructureOf, parseOutputs} from '../../../../src/infrastructure/providers/terraform-outputs.ts'
import {parseRecord, printRecord} from '../../../../src/store/record.ts'
import {recordWith} from '../../../../src/workflows/cluster/init.ts'
import {recordOf} from '../../../support/store-contract.ts'
import {awsDemo} from '../../../support/terraform-demo.ts'

const endpoint = {internal: '10.0.0.1:6443', external: '10.0.0.1:6443', certSans: []}
const nothingKnown = {keyPath: '/key', hostKeys: new Map<string, string[]>()}
const tools = {now: () => 0}

test('what a stack says of its cloud is in the record, and a later run without machines keeps it', () => {
  const addons = {vpcId: 'vpc-1', fileSystemId: 'fs-1'}
  const infrastructure = infrastructureOf(
    parseOutputs({machines: [], endpoint, addons}),
    awsDemo(),
    nothingKnown,
  )
  expect(infrastructure.cloud).toEqual(addons)
  const record = recordWith(undefined, awsDemo(), infrastructure, tools)
  const read = parseRecord(printRecord(record), record.name, 'record.json')
  expect(read.cloud).toEqual(addons)
  expect(recordWith(read, awsDemo(), undefined, tools).cloud).toEqual(addons)
})

test('outputs and records of earlier versions say nothing of the cloud', () => {
  const {cloud} = infrastructureOf(parseOutputs({machines: [], endpoint}), awsDemo(), nothingKnown)
  expect(cloud).toEqual({})
  expect(parseRecord(printRecord(recordOf('demo')), 'demo', 'record.json').cloud).toBeUndefined()
})

test('a value that is no text is refused by its name', () => {
  expect(() => parseOutputs({machines: [], endpoint, addons: {vpcId: 1}})).toThrow(/addons\.vpcId/)
})
