import {expect, test} from 'vitest'
import {infraPlanMarkdown, infraPlanText} from '../../../src/cli/infra-results.ts'
import {palette} from '../../../src/cli/terminal.ts'
import type {InfraPlanResult} from '../../../src/workflows/infra/infra.ts'

const options = {colours: palette(false), columns: undefined}
const plan: InfraPlanResult = {
  cluster: 'prod',
  provider: 'aws',
  goal: 'apply',
  hasChanges: true,
  changes: [
    {address: 'aws_vpc.main', type: 'aws_vpc', actions: ['create']},
    {address: 'aws_instance.cp-1', type: 'aws_instance', actions: ['update'], attributes: ['tags']},
    {
      address: 'aws_lb.api',
      type: 'aws_lb',
      actions: ['delete', 'create'],
      reason: 'cannot be changed in place: a|b',
    },
    {address: 'aws_eip.nat', type: 'aws_eip', actions: ['delete'], reason: 'no resource config'},
  ],
}

test('a plan lists every resource with what happens to it and why, and counts', () => {
  expect(infraPlanText({...plan, file: '/p.tfplan'}, options)).toBe(
    `   RESOURCE           WHY
+  aws_vpc.main       does not exist
~  aws_instance.cp-1  tags
±  aws_lb.api         cannot be changed in place: a|b
-  aws_eip.nat        no resource config

prod: 1 to create, 1 to change, 1 to replace, 1 to remove; nothing was changed
saved: clouder infra apply --plan /p.tfplan`,
  )
})

test('Markdown is a table that no reason can break', () => {
  expect(infraPlanMarkdown(plan)).toBe(`### Plan of prod (aws)

**1 to create, 1 to change, 1 to replace, 1 to remove**

|   | resource | why |
|---|---|---|
| + | \`aws_vpc.main\` | does not exist |
| ~ | \`aws_instance.cp-1\` | tags |
| ± | \`aws_lb.api\` | cannot be changed in place: a\\|b |
| - | \`aws_eip.nat\` | no resource config |`)
})

test('a comment of a large plan stays one that GitHub takes', () => {
  const many = Array.from({length: 5000}, (_, index) => ({
    address: `aws_instance.worker-${index}`,
    type: 'aws_instance',
    actions: ['create'] as const,
  }))
  const text = infraPlanMarkdown({...plan, changes: many})
  expect(text.length).toBeLessThan(65_536)
  expect(text).toContain('**5000 to create**')
  expect(text).toContain('and 4500 more')
})

test.each([
  ['apply', 'the infrastructure of prod is up to date: nothing to do'],
  ['destroy', 'prod has nothing to remove'],
  ['drift', 'prod is as applied: no drift'],
] as const)('nothing to tell of a %s is told', (goal, text) => {
  const nothing = {...plan, goal, changes: [], hasChanges: false}
  expect(infraPlanText(nothing, options)).toBe(text)
  expect(infraPlanMarkdown(nothing)).toContain(text)
})

test('drift is told as what was done, and a change of outputs alone as such', () => {
  expect(infraPlanMarkdown({...plan, goal: 'drift'})).toContain(
    '**1 made, 1 changed, 1 replaced, 1 removed**',
  )
  expect(infraPlanText({...plan, changes: []}, options)).toBe(
    'prod: only outputs change; nothing was changed',
  )
})
