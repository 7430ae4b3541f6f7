import {copyFile, mkdir, readFile, stat, writeFile} from 'node:fs/promises'
import {once} from 'node:events'
import {createServer} from 'node:http'
import {dirname, join} from 'node:path'
import {
  DescribeInstancesCommand,
  DescribeSecurityGroupRulesCommand,
  RevokeSecurityGroupIngressCommand,
} from '@aws-sdk/client-ec2'
import {CreateBucketCommand, S3Client} from '@aws-sdk/client-s3'
import {expect, test} from 'vitest'
import {stringify} from 'yaml'
import {z} from 'zod'
import {ensureSshKey} from '../../src/providers/ssh-key.ts'
import {withAws, REGION, type AwsHere} from '../support/aws-cloud.ts'
import {
  GITHUB_FILES,
  GITLAB_FILES,
  githubSteps,
  githubWorkflow,
  gitlabPipeline,
  gitlabStep,
} from '../support/ci-jobs.ts'
import {ciRunner, resolved, type CiEnd, type CiRunner} from '../support/ci-runner.ts'

const NAME = 'piped'
const STATES = 'terraform-states'
const PRIVATE_KEY =
  '-----BEGIN OPENSSH PRIVATE KEY-----\nnothing is logged in to here\n-----END OPENSSH PRIVATE KEY-----'

const document = {
  apiVersion: 'clouder.dev/v1alpha1',
  kind: 'Cluster',
  metadata: {name: NAME},
  spec: {
    provider: {
      kind: 'aws',
      aws: {region: REGION, bastion: 'none', api: 'internal', network: {cidr: '10.81.0.0/20'}},
    },
    workers: [{count: 1}],
    ssh: {keyPath: '~/.ssh/clouder'},
    state: {backend: 's3', s3: {bucket: STATES, region: REGION}},
  },
}

/** What `plan` and `apply` of a pipeline leave for the next job. */
const ARTIFACTS = [
  'plan.tfplan',
  'plan.md',
  'outputs.json',
  ...['cdk.tf.json', '.terraform.lock.hcl', 'plan.tfplan'].map((name) => `infra/${name}`),
]

/** A new machine for the next job: a checkout, and what earlier jobs kept. */
async function nextJob(aws: AwsHere, name: string, before?: CiRunner): Promise<CiRunner> {
  const runner = await ciRunner(join(aws.dir, name))
  await writeFile(join(runner.work, 'cluster.yaml'), stringify(document))
  if (before === undefined) return runner
  for (const path of ARTIFACTS) {
    const [from, to] = [join(before.work, path), join(runner.work, path)]
    if (await isThere(from)) {
      await mkdir(dirname(to), {recursive: true})
      await copyFile(from, to)
    }
  }
  return runner
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

async function prepared(aws: AwsHere): Promise<string> {
  const s3 = new S3Client({})
  await s3.send(
    new CreateBucketCommand({Bucket: STATES, CreateBucketConfiguration: {LocationConstraint: REGION}}),
  )
  s3.destroy()
  return ensureSshKey(join(aws.dir, 'ci-key'))
}

const said = ({exitCode, stdout, stderr}: CiEnd): string =>
  `exit code ${exitCode ?? 'none'}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`

async function runningInstances({ec2}: AwsHere): Promise<number> {
  const Filters = [{Name: 'instance-state-name', Values: ['running']}]
  const {Reservations = []} = await ec2.send(new DescribeInstancesCommand({Filters}))
  return Reservations.flatMap(({Instances = []}) => Instances).length
}

/** Somebody closes what the cluster needs open. */
async function closeARule({ec2}: AwsHere): Promise<void> {
  const Filters = [{Name: 'tag:clouder.dev/cluster', Values: [NAME]}]
  const {SecurityGroupRules = []} = await ec2.send(new DescribeSecurityGroupRulesCommand({Filters}))
  const rule = SecurityGroupRules.find(({IsEgress}) => IsEgress === false)
  await ec2.send(
    new RevokeSecurityGroupIngressCommand({
      GroupId: rule?.GroupId,
      SecurityGroupRuleIds: [rule?.SecurityGroupRuleId ?? ''],
    }),
  )
}

for (const file of GITHUB_FILES)
  test(`the scripts of ${file} plan, comment, apply what was approved, and see drift`, async (context) => {
    const workflow = await githubWorkflow(file)
    await withAws(context, {}, async (aws) => {
      const values = {
        'vars.CLOUDER_SSH_PUBLIC_KEY': await prepared(aws),
        'secrets.CLOUDER_SSH_KEY': PRIVATE_KEY,
        'github.token': 'token-of-the-job',
        'github.event.pull_request.number': '7',
      }
      const job = async (name: string, runner: CiRunner, last = 0): Promise<void> => {
        const steps = githubSteps(workflow, name)
        for (const [index, step] of steps.entries()) {
          const variables = {...aws.environment, ...resolved(step.environment, values)}
          const summary = {GITHUB_STEP_SUMMARY: join(runner.home, 'summary.md')}
          const end = await runner.run(step, {...variables, ...summary})
          expect(end.exitCode, `${step.name}: ${said(end)}`).toBe(index === steps.length - 1 ? last : 0)
        }
      }

      const plan = await nextJob(aws, 'plan')
      await job('plan', plan)
      const comment = await readFile(join(plan.work, 'plan.md'), 'utf8')
      expect(comment).toContain('aws_instance.cp-1')
      expect(await readFile(join(plan.home, 'summary.md'), 'utf8')).toBe(comment)
      expect(await plan.calls()).toContain('gh pr comment 7 --edit-last --create-if-none --body-file plan.md')
      expect(await runningInstances(aws)).toBe(0)

      const apply = await nextJob(aws, 'apply', plan)
      await job('apply', apply)
      expect(await runningInstances(aws)).toBe(2)
      const setUp = file === 'github-clouder.yml' ? 'init' : 'setup --machines-from outputs.json'
      expect(await apply.calls()).toContain(`clouder kubeadm ${setUp} --yes`)
      const key = join(apply.home, '.ssh/clouder')
      expect((await stat(key)).mode & 0o777).toBe(0o600)
      expect(await readFile(key, 'utf8')).toBe(`${PRIVATE_KEY}\n`)

      await job('drift', await nextJob(aws, 'night'))
      await closeARule(aws)
      const drift = await nextJob(aws, 'next-night')
      await job('drift', drift, 2)
      expect((await drift.calls()).join('\n')).toContain('gh issue create')
      expect(await readFile(join(drift.work, 'drift.md'), 'utf8')).toContain(
        'aws_vpc_security_group_ingress_rule',
      )
    })
  })

for (const file of GITLAB_FILES)
  test(`the scripts of ${file} plan, comment, apply what was approved, and see drift`, async (context) => {
    const pipeline = await gitlabPipeline(file)
    await withAws(context, {}, async (aws) => {
      await using comments = await commentServer()
      const role = (name: string): string => `arn:aws:iam::123456789012:role/${name}`
      const values = {AWS_PLAN_ROLE: role('plan'), AWS_APPLY_ROLE: role('apply')}
      const publicKey = await prepared(aws)
      const job = async (name: string, runner: CiRunner, exitCode = 0): Promise<void> => {
        const step = gitlabStep(pipeline, name)
        const end = await runner.run(step, {
          ...aws.environment,
          ...resolved(step.environment, values),
          // The job's token is all it has.
          AWS_ACCESS_KEY_ID: undefined,
          AWS_SECRET_ACCESS_KEY: undefined,
          AWS_TOKEN: 'token-of-the-job',
          COMMENT_TOKEN: 'token-for-comments',
          CLOUDER_SSH_PUBLIC_KEY: publicKey,
          CLOUDER_SSH_KEY: PRIVATE_KEY,
          CI_API_V4_URL: comments.url,
          CI_JOB_ID: '1',
          CI_MERGE_REQUEST_IID: '7',
          CI_PROJECT_DIR: runner.work,
          CI_PROJECT_ID: '3',
        })
        expect(end.exitCode, `${name}: ${said(end)}`).toBe(exitCode)
      }
      let last: CiRunner | undefined
      const next = async (name: string): Promise<CiRunner> => (last = await nextJob(aws, name, last))

      for (const name of ['synth', 'plan', 'comment'])
        if (name in pipeline.jobs) await job(name, await next(name))
      expect(comments.seen).toHaveLength(1)
      const [comment] = comments.seen
      expect(comment?.path).toBe('/projects/3/merge_requests/7/notes')
      expect(comment?.token).toBe('token-for-comments')
      expect(comment?.body).toContain('aws_instance.cp-1')
      expect(await runningInstances(aws)).toBe(0)

      await job('apply', await next('apply'))
      expect(await runningInstances(aws)).toBe(2)
      const setup = await next('setup')
      await job('setup', setup)
      const setUp = file === 'gitlab-clouder.yml' ? 'init' : 'setup --machines-from outputs.json'
      expect(await setup.calls()).toContain(`clouder kubeadm ${setUp} --yes`)
      expect((await stat(join(setup.home, '.ssh/clouder'))).mode & 0o777).toBe(0o600)

      await job('drift', await next('night'))
      await closeARule(aws)
      await job('drift', await next('next-night'), 2)
    })
  })

interface Comments extends AsyncDisposable {
  readonly url: string
  readonly seen: readonly {readonly path: string; readonly token: string; readonly body: string}[]
}

/** The API of GitLab, as far as a comment needs it. */
async function commentServer(): Promise<Comments> {
  const seen: Comments['seen'][number][] = []
  const server = createServer((request, answer) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    request.on('end', () => {
      const body = new URLSearchParams(text).get('body') ?? ''
      seen.push({path: request.url ?? '', token: String(request.headers['private-token']), body})
      answer.writeHead(201).end('{}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const {port} = z.object({port: z.number()}).parse(server.address())
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      server.close()
      await once(server, 'close')
    },
  }
}
