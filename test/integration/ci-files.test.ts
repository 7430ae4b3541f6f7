import {spawnSync} from 'node:child_process'
import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {
  GITHUB_FILES,
  GITLAB_FILES,
  githubSteps,
  githubWorkflow,
  gitlabPipeline,
  gitlabStep,
} from '../support/ci-jobs.ts'
import {packageRoot} from '../support/cli.ts'

const LONG_LIVED = /AWS_SECRET_ACCESS_KEY|AWS_ACCESS_KEY_ID|ARM_CLIENT_SECRET|AZURE_CLIENT_SECRET/

/** What bash says against a script; empty: it can be parsed. */
function syntaxOf(script: string): string {
  return spawnSync('bash', ['-n'], {input: script, encoding: 'utf8'}).stderr
}

test('the page shows every file', async () => {
  const page = await readFile(join(packageRoot, 'docs/how-to/terraform-in-ci.md'), 'utf8')
  for (const file of [...GITHUB_FILES, ...GITLAB_FILES]) expect(page).toContain(`](../ci/${file})`)
})

for (const file of [...GITHUB_FILES, ...GITLAB_FILES])
  test(`${file} holds no key that lives longer than a job`, async () => {
    expect(await readFile(join(packageRoot, 'docs/ci', file), 'utf8')).not.toMatch(LONG_LIVED)
  })

for (const file of GITHUB_FILES) {
  test(`${file} plans on a pull request, applies what was approved, and looks for drift at night`, async () => {
    const {jobs, permissions, concurrency} = await githubWorkflow(file)
    expect(Object.keys(jobs)).toEqual(['plan', 'apply', 'drift'])
    expect(permissions, 'a job has what it asks for itself').toEqual({})
    expect(concurrency['cancel-in-progress']).toBe(false)
    expect(jobs['apply']).toMatchObject({
      if: "github.event_name == 'push'",
      needs: 'plan',
      environment: 'production',
    })
    expect(jobs['drift']?.if).toBe("github.event_name == 'schedule'")
    for (const [name, {permissions: own, steps}] of Object.entries(jobs)) {
      expect(own['id-token'], name).toBe('write')
      const roles = steps.flatMap((step) => step.with?.['role-to-assume'] ?? [])
      expect(roles, name).toEqual([`\${{ vars.AWS_${name === 'apply' ? 'APPLY' : 'PLAN'}_ROLE }}`])
      for (const {uses} of steps) if (uses !== undefined) expect(uses).toMatch(/^[\w-]+\/[\w-]+@v\d+$/)
    }
  })

  test(`${file} has scripts that bash understands and that nobody can write into`, async () => {
    const workflow = await githubWorkflow(file)
    const steps = Object.keys(workflow.jobs).flatMap((job) => githubSteps(workflow, job))
    expect(steps.length).toBeGreaterThan(6)
    for (const {name, script} of steps) {
      expect(syntaxOf(script), name).toBe('')
      // Values come in by variables: what an expression gives would become part of the script.
      expect(script, name).not.toContain('${{')
    }
  })
}

for (const file of GITLAB_FILES)
  test(`${file} plans on a merge request, applies by hand, and looks for drift by schedule`, async () => {
    const pipeline = await gitlabPipeline(file)
    const {jobs, stages} = pipeline
    expect(jobs['apply']?.rules).toHaveLength(1)
    expect(jobs['apply']?.rules[0]).toMatchObject({when: 'manual'})
    expect(jobs['apply']).toMatchObject({environment: 'production', resource_group: 'production'})
    expect(jobs['drift']?.rules).toEqual([{if: '$CI_PIPELINE_SOURCE == "schedule"'}])
    for (const [name, job] of Object.entries(jobs)) {
      for (const needed of job.needs) expect(Object.keys(jobs), name).toContain(needed)
      if (job.extends !== undefined) expect(Object.keys(jobs), name).toContain(job.extends)
      if (name.startsWith('.')) continue
      expect(stages, name).toContain(job.stage)
      const role = job.variables['AWS_ROLE_ARN']
      if (role !== undefined)
        expect(role, name).toBe(['apply', 'setup'].includes(name) ? '$AWS_APPLY_ROLE' : '$AWS_PLAN_ROLE')
      expect(syntaxOf(gitlabStep(pipeline, name).script), name).toBe('')
    }
  })
