import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {parse} from 'yaml'
import {z} from 'zod'
import {packageRoot} from './cli.ts'

export const GITHUB_FILES = ['github-clouder.yml', 'github-terraform.yml'] as const
export const GITLAB_FILES = ['gitlab-clouder.yml', 'gitlab-terraform.yml'] as const

const envSchema = z.record(z.string(), z.string()).default({})
const stepSchema = z.strictObject({
  name: z.string().optional(),
  if: z.string().optional(),
  uses: z.string().optional(),
  with: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  env: envSchema,
  run: z.string().optional(),
})
const githubSchema = z.strictObject({
  name: z.string(),
  on: z.looseObject({pull_request: z.unknown(), push: z.unknown(), schedule: z.array(z.unknown()).min(1)}),
  permissions: z.record(z.string(), z.string()),
  concurrency: z.strictObject({group: z.string(), 'cancel-in-progress': z.boolean()}),
  env: envSchema,
  defaults: z.strictObject({run: z.strictObject({shell: z.literal('bash')})}),
  jobs: z.record(
    z.string(),
    z.strictObject({
      if: z.string(),
      needs: z.string().optional(),
      'runs-on': z.string(),
      environment: z.string().optional(),
      permissions: z.record(z.string(), z.string()),
      steps: z.array(stepSchema),
    }),
  ),
})
export type GithubWorkflow = z.output<typeof githubSchema>

const gitlabJobSchema = z.strictObject({
  extends: z.string().optional(),
  stage: z.string().optional(),
  image: z.unknown().optional(),
  needs: z.array(z.string()).default([]),
  environment: z.string().optional(),
  resource_group: z.string().optional(),
  rules: z.array(z.looseObject({if: z.string(), when: z.string().optional()})).default([]),
  id_tokens: z.record(z.string(), z.strictObject({aud: z.string()})).optional(),
  variables: envSchema,
  before_script: z.array(z.string()).default([]),
  script: z.array(z.string()).default([]),
  artifacts: z.looseObject({paths: z.array(z.string())}).optional(),
})
const gitlabSchema = z
  .looseObject({stages: z.array(z.string()), variables: envSchema, default: z.unknown()})
  .transform(({stages, variables, default: _, ...jobs}) => ({
    stages,
    variables,
    jobs: z.record(z.string(), gitlabJobSchema).parse(jobs),
  }))
export type GitlabPipeline = z.output<typeof gitlabSchema>

/** Script of one step, and the variables that the file gives it; `${{ … }}` is not resolved. */
export interface CiStep {
  readonly name: string
  readonly script: string
  readonly environment: Readonly<Record<string, string>>
}

const textOf = (file: string): Promise<string> => readFile(join(packageRoot, 'docs/ci', file), 'utf8')

/** The workflow as GitHub reads it; throws for a key that none of ours should have. */
export async function githubWorkflow(file: (typeof GITHUB_FILES)[number]): Promise<GithubWorkflow> {
  return githubSchema.parse(parse(await textOf(file)))
}

export async function gitlabPipeline(file: (typeof GITLAB_FILES)[number]): Promise<GitlabPipeline> {
  return gitlabSchema.parse(parse(await textOf(file)))
}

/** Steps of a job that run something, in order. */
export function githubSteps({env, jobs}: GithubWorkflow, job: string): readonly CiStep[] {
  return (jobs[job]?.steps ?? []).flatMap(({name, run, env: own}) =>
    run === undefined ? [] : [{name: name ?? run, script: run, environment: {...env, ...own}}],
  )
}

/** A job of GitLab is one shell from its `before_script` to the end of its `script`. */
export function gitlabStep({variables, jobs}: GitlabPipeline, job: string): CiStep {
  const own = jobs[job]
  const base = own?.extends === undefined ? undefined : jobs[own.extends]
  const before = own?.before_script.length ? own.before_script : (base?.before_script ?? [])
  return {
    name: job,
    script: [...before, ...(own?.script ?? [])].join('\n'),
    environment: {...variables, ...base?.variables, ...own?.variables},
  }
}
