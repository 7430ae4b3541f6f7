import {copyFile, mkdir, readFile, stat, writeFile} from 'node:fs/promises'
import {once} from 'node:events'
import {createServer} from 'node:http'
import {basename, dirname, join} from 'node:path'
import {
  AuthorizeSecurityGroupIngressCommand,
  DescribeInstancesCommand,
  DescribeSecurityGroupsCommand,
} from '@aws-sdk/client-ec2'
import {CreateBucketCommand, S3Client} from '@aws-sdk/client-s3'
import {expect, test} from 'vitest'
import {stringify} from 'yaml'
import {z} from 'zod'
import {ensureSshKey} from '../../src/infrastructure/providers/ssh-key.ts'
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

const STATES = 'terraform-states'
const PRIVATE_KEY =
  '-----BEGIN OPENSSH PRIVATE KEY-----\nnothing is logged in to here\n-----END OPENSSH PRIVATE KEY-----'

const clusterFile = (name: string) => ({
  apiVersion: 'clouder.dev/v1alpha1',
  kind: 'Cluster',
  metadata: {name},
  spec: {
    provider: {
      kind: 'aws',
      aws: {region: REGION, bastion: 'none', api: 'internal', network: {cidr: '10.81.0.0/20'}},
    },
    workers: [{count: 1}],
    addons: {profile: 'minimal'},
    ssh: {keyPath: '~/.ssh/clouder'},
    state: {backend: 's3', s3: {bucket: STATES, region: REGION}},
  },
})

/** What `plan` and `apply` of a pipeline leave for the next job. */
const ARTIFACTS = [
  'plan.tfplan',
  'plan.md',
  'outputs.json',
  ...['cdk.tf.json', '.terraform.lock.hcl', 'plan.tfplan'].map((name) => `infra/${name}`),
]

interface Pipeline {
  readonly aws: AwsHere
  /** Of its cluster, unlike those of the others. */
  readonly name: string
  readonly publicKey: string
}

/** A new machine for the next job: a checkout, and what earlier jobs kept. */
async function nextJob({aws, name}: Pipeline, job: string, before?: CiRunner): Promise<CiRunner> {
  const runner = await ciRunner(join(aws.dir, name, job))
  await writeFile(join(runner.work, 'cluster.yaml'), stringify(clusterFile(name)))
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

const tagged = (name: string) => ({Name: 'tag:clouder.dev/cluster', Values: [name]})

async function runningInstances({aws, name}: Pipeline): Promise<number> {
  const Filters = [tagged(name), {Name: 'instance-state-name', Values: ['running']}]
  const {Reservations = []} = await aws.ec2.send(new DescribeInstancesCommand({Filters}))
  return Reservations.flatMap(({Instances = []}) => Instances).length
}

/** Somebody opens the workers to the world by hand. */
async function openToTheWorld({aws, name}: Pipeline): Promise<void> {
  const {SecurityGroups = []} = await aws.ec2.send(
    new DescribeSecurityGroupsCommand({Filters: [tagged(name)]}),
  )
  const group = SecurityGroups.find(({GroupName = ''}) => GroupName.endsWith('-worker'))
  const telnet = {IpProtocol: 'tcp', FromPort: 23, ToPort: 23, IpRanges: [{CidrIp: '0.0.0.0/0'}]}
  await aws.ec2.send(
    new AuthorizeSecurityGroupIngressCommand({GroupId: group?.GroupId, IpPermissions: [telnet]}),
  )
}

async function runGithub(file: (typeof GITHUB_FILES)[number], pipeline: Pipeline): Promise<void> {
  const workflow = await githubWorkflow(file)
  const {aws, publicKey} = pipeline
  const values = {
    'vars.CLOUDER_SSH_PUBLIC_KEY': publicKey,
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
      const wanted = index === steps.length - 1 ? last : 0
      expect(end.exitCode, `${file}, ${step.name}: ${said(end)}`).toBe(wanted)
    }
  }

  const plan = await nextJob(pipeline, 'plan')
  await job('plan', plan)
  const comment = await readFile(join(plan.work, 'plan.md'), 'utf8')
  expect(comment).toContain('aws_instance.cp-1')
  expect(await readFile(join(plan.home, 'summary.md'), 'utf8')).toBe(comment)
  expect(await plan.calls()).toContain('gh pr comment 7 --edit-last --create-if-none --body-file plan.md')
  expect(await runningInstances(pipeline)).toBe(0)

  const apply = await nextJob(pipeline, 'apply', plan)
  await job('apply', apply)
  expect(await runningInstances(pipeline)).toBe(2)
  await expectSetUp(apply, file)

  await job('drift', await nextJob(pipeline, 'night'))
  await openToTheWorld(pipeline)
  const drift = await nextJob(pipeline, 'next-night')
  await job('drift', drift, 2)
  expect((await drift.calls()).join('\n')).toContain('gh issue create')
  expect(await readFile(join(drift.work, 'drift.md'), 'utf8')).toContain('aws_security_group.worker')
}

/** Clouder was called as it should be, and the key is where it looks for it. */
async function expectSetUp(runner: CiRunner, file: string): Promise<void> {
  const setUp = file.endsWith('-clouder.yml') ? 'init' : 'setup --machines-from outputs.json'
  expect(await runner.calls()).toContain(`clouder kubeadm ${setUp} --yes`)
  const key = join(runner.home, '.ssh/clouder')
  expect((await stat(key)).mode & 0o777).toBe(0o600)
  expect(await readFile(key, 'utf8')).toBe(`${PRIVATE_KEY}\n`)
}

async function runGitlab(file: (typeof GITLAB_FILES)[number], pipeline: Pipeline): Promise<void> {
  const jobs = await gitlabPipeline(file)
  const {aws, publicKey} = pipeline
  await using comments = await commentServer()
  const role = (name: string): string => `arn:aws:iam::123456789012:role/${name}`
  const values = {AWS_PLAN_ROLE: role('plan'), AWS_APPLY_ROLE: role('apply')}
  const job = async (name: string, runner: CiRunner, exitCode = 0): Promise<CiEnd> => {
    const step = gitlabStep(jobs, name)
    const end = await runner.run(step, {
      ...aws.environment,
      ...resolved(step.environment, values),
      // The job's token is all it has.
      AWS_ACCESS_KEY_ID: undefined,
      AWS_SECRET_ACCESS_KEY: undefined,
      // Where Terraform trades it for credentials, it looks for no address of all services.
      AWS_ENDPOINT_URL_STS: aws.front.url,
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
    expect(end.exitCode, `${file}, ${name}: ${said(end)}`).toBe(exitCode)
    return end
  }
  let last: CiRunner | undefined
  const next = async (name: string): Promise<CiRunner> => (last = await nextJob(pipeline, name, last))

  for (const name of ['synth', 'plan', 'comment']) if (name in jobs.jobs) await job(name, await next(name))
  expect(comments.seen).toHaveLength(1)
  const [comment] = comments.seen
  expect(comment?.path).toBe('/projects/3/merge_requests/7/notes')
  expect(comment?.token).toBe('token-for-comments')
  expect(comment?.body).toContain('aws_instance.cp-1')
  expect(await runningInstances(pipeline)).toBe(0)

  await job('apply', await next('apply'))
  expect(await runningInstances(pipeline)).toBe(2)
  const setup = await next('setup')
  await job('setup', setup)
  await expectSetUp(setup, file)

  await job('drift', await next('night'))
  await openToTheWorld(pipeline)
  expect((await job('drift', await next('next-night'), 2)).stdout).toContain('aws_security_group.worker')
}

test('the scripts of each pipeline plan, comment, apply what was approved, and see drift', async (context) => {
  await withAws(context, {}, async (aws) => {
    const publicKey = await prepared(aws)
    const pipeline = (file: string): Pipeline => ({aws, name: basename(file, '.yml'), publicKey})
    // Side by side, each with a cluster of its own: most of the time is the provider's waiting.
    const ends = await Promise.allSettled([
      ...GITHUB_FILES.map((file) => runGithub(file, pipeline(file))),
      ...GITLAB_FILES.map((file) => runGitlab(file, pipeline(file))),
    ])
    const failures = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []))
    if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join('\n\n'))
    if (failures.length === 1) throw failures[0]
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
