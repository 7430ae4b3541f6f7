import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {portMatrix} from '../../stacks/ports.ts'
import {type AwsDocument, awsInput, awsStack} from './aws-input.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/aws-stack.md'), 'utf8')

/** Cells of the rows of the table below a heading. */
function rowsBelow(heading: string): readonly (readonly string[])[] {
  const section = page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

const VARIANTS: readonly AwsDocument[] = [
  {},
  {aws: {sharedFiles: true, bastion: 'none'}, spec: {controlPlane: {schedulable: true}}},
  {aws: {network: {mode: 'public'}}},
  {aws: {bastion: 'ssm', image: 'ubuntu-24.04'}},
]

test('the page tells every opening that any cluster has, and no other', () => {
  const real = VARIANTS.flatMap((document) => portMatrix(awsInput(document).spec)).map(
    ({firstPort, lastPort, protocol, to, from}) => {
      const ports = firstPort === lastPort ? String(firstPort) : `${firstPort}-${lastPort}`
      return `${ports}/${protocol} to ${to} from ${from}`
    },
  )
  const told = rowsBelow('Who may talk to whom').flatMap(([port = '', to = '', from = '']) =>
    from.split(', ').map((one) => `${port} to ${to} from ${one}`),
  )
  expect([...new Set(told)].sort()).toEqual([...new Set(real)].sort())
})

test('the page tells every policy and which nodes have it', () => {
  const {all} = awsStack({aws: {sharedFiles: true, bastion: 'ssm', image: 'ubuntu-24.04'}})
  const real = Object.keys(all('aws_iam_role_policy_attachment'))
  const told = rowsBelow('What machines may do').flatMap(([policy = '', controlPlanes, workers]) => [
    ...(controlPlanes === 'yes' ? [`control-plane_${policy}`] : []),
    ...(workers === 'yes' ? [`worker_${policy}`] : []),
  ])
  expect([...told].sort()).toEqual([...real].sort())
})
