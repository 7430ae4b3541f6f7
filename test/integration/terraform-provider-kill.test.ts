import {spawn} from 'node:child_process'
import {mkdir, readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {packageRoot} from '../support/cli.ts'
import {contextIn} from '../support/local-cluster.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {demoProvider, looking, outside} from '../support/terraform-cluster.ts'
import {awsDemo} from '../support/terraform-demo.ts'
import {terraformIn, terraformOrSkip} from '../support/with-terraform.ts'

const eventSchema = z.looseObject({
  type: z.string(),
  task: z.string().optional(),
  step: z.string().optional(),
})
type Event = z.output<typeof eventSchema>

/** Runs a provision as a process of its own, and kills it at the first event that is meant. */
async function killAt(home: string, isMeant: (event: Event) => boolean, what = 'provision'): Promise<void> {
  const script = join(packageRoot, 'test/support/provision-terraform.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', script, home, what], {
    cwd: packageRoot,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.once('exit', (_, signal) => resolve(signal))
  })
  for await (const line of createInterface({input: child.stdout})) {
    if (isMeant(eventSchema.parse(JSON.parse(line)))) child.kill('SIGKILL')
  }
  expect(await ended).toBe('SIGKILL')
}

test.for<readonly [string, (event: Event) => boolean]>([
  ['while Terraform is prepared', ({type, task}) => type === 'task-started' && task === 'terraform'],
  ['while it is planned', ({type, task}) => type === 'task-started' && task === 'plan'],
  ['when the apply begins', ({type}) => type === 'phase-planned'],
  ['while machines are made', ({type, step}) => type === 'step-started' && step?.includes('cp-1') === true],
  ['when a machine is made', ({type, step}) => type === 'step-done' && step?.includes('cp-1') === true],
  ['while host keys are read', ({type, task}) => type === 'task-started' && task === 'host-keys'],
])(
  'a provision that is killed %s is ended by the next one, and nothing is made twice',
  async ([, isMeant], context) => {
    await terraformOrSkip('/', context)
    await withTempFolder(async (home) => {
      await mkdir(join(home, 'tmp'))
      await killAt(home, isMeant)
      const madeFile = join(home, 'made')
      const again = outside({madeFile, newestImage: 'ami-2'})
      const provider = () => demoProvider(again, (dir) => terraformIn(dir), join(home, 'tmp'))
      const within = contextIn(home, 'demo')
      const {machines} = await provider().provision(awsDemo(), within)
      expect(machines.map(({name, ssh}) => `${name} ${ssh.hostKeys.length}`)).toEqual([
        'cp-1 1',
        'worker-1 1',
      ])
      expect(await provider().plan(awsDemo(), looking(within))).toEqual([])
      const made = (await readFile(madeFile, 'utf8')).trim().split('\n')
      expect(made.sort()).toEqual(['cp-1', 'worker-1'])
    })
  },
)

test('what a look that was killed leaves is removed by the next run, as soon as its Terraform has ended', async (context) => {
  await terraformOrSkip('/', context)
  await withTempFolder(async (home) => {
    const temporaryDir = join(home, 'tmp')
    await mkdir(temporaryDir)
    await killAt(home, ({type, task}) => type === 'task-started' && task === 'plan', 'look')
    expect(await readdir(temporaryDir)).toHaveLength(1)
    const provider = demoProvider(outside(), (dir) => terraformIn(dir), temporaryDir)
    const look = async () => {
      await provider.plan(awsDemo(), looking(contextIn(home, 'demo')))
      return readdir(temporaryDir)
    }
    await expect.poll(look, {timeout: 20_000}).toEqual([])
  })
})
