import {expect, test} from 'vitest'
import {
  decideMetadata,
  metadataFiles,
  metadataRules,
} from '../../../../src/bootstrap/phases/cloud-metadata.ts'
import {parseObserved} from '../../../../src/bootstrap/phases/probe.ts'
import {specOf} from '../../../support/local-cluster.ts'
import {fileLines, renderer} from '../../../support/phase-context.ts'

const rules = metadataRules(specOf('demo', {provider: {kind: 'aws'}}))
const files = metadataFiles(rules, renderer)
const IN_PLACE = `${fileLines(files)}UnitFileState=enabled\nActiveState=active\nNeedDaemonReload=no\n`
const decide = (text: string) => decideMetadata(rules, files, parseObserved(text))

test('a new machine gets unit and settings', () => {
  const decision = decide('UnitFileState=\nNeedDaemonReload=no\n')
  expect(decision.files).toEqual(files)
  expect(decision.reasons).toContain('pods are not denied to 169.254.169.254')
})

test('a machine whose rules are in place needs nothing, with or without IPv6', () => {
  expect(decide(`${IN_PLACE}refused=441 169.254.169.254\n`).reasons).toEqual([])
  expect(decide(`${IN_PLACE}refused=441 169.254.169.254\nrefused=443 fd00:ec2::254\n`).reasons).toEqual([])
})

test('rules that something else took away are put back', () => {
  const decision = decide(IN_PLACE)
  expect(decision.files).toEqual([])
  expect(decision.reasons).toEqual(['pods are not denied to 169.254.169.254'])
})

test('rules that would not come back after a restart are put right', () => {
  const refused = 'refused=441 169.254.169.254\n'
  const off = IN_PLACE.replace('UnitFileState=enabled', 'UnitFileState=disabled')
  expect(decide(`${off}${refused}`).reasons).toEqual(['clouder-metadata.service is not enabled'])
  const stale = IN_PLACE.replace('NeedDaemonReload=no', 'NeedDaemonReload=yes')
  expect(decide(`${stale}${refused}`).reasons).toHaveLength(1)
})

test('machines outside a cloud, and only those, get no rules', () => {
  const counts = (['local', 'byon', 'aws', 'azure'] as const).map(
    (kind) => metadataRules(specOf('demo', {provider: {kind}})).length,
  )
  expect(counts).toEqual([0, 0, 2, 3])
})
