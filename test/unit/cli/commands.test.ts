import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {packageRoot} from '../../support/cli.ts'
import {commandFiles, commandsPage, flagsOf} from '../../support/commands-page.ts'

const files = await commandFiles()

test('the commands are those that the first release promises', () => {
  const kubeadm = 'create get-config info init join ls plan reset set-default setup smoke-test terminate use'
  const cloud = 'configure info regions vm-sizes'
  expect(files.map(({id}) => id)).toEqual([
    ...'diff install ls remove rollback smoke status upgrade'.split(' ').map((verb) => `addon ${verb}`),
    ...cloud.split(' ').map((verb) => `aws ${verb}`),
    ...cloud.split(' ').map((verb) => `azure ${verb}`),
    'bundle build',
    'bundle ls',
    'bundle verify',
    ...'drain ls register remove'.split(' ').map((verb) => `byoc ${verb}`),
    ...'create doctor gc inspect ls migrate restore schedule verify'
      .split(' ')
      .map((verb) => `checkpoint ${verb}`),
    'cost',
    ...'ls rm set show sync'.split(' ').map((verb) => `ctx ${verb}`),
    'doctor',
    ...'apply destroy drift output plan synth'.split(' ').map((verb) => `infra ${verb}`),
    ...kubeadm.split(' ').map((verb) => `kubeadm ${verb}`),
    'kubectl',
    'node drain',
    ...'attach create delete exec logs ls pause resume'.split(' ').map((verb) => `runtime ${verb}`),
    'ssh',
    ...'apply destroy diff plan rollback status'.split(' ').map((verb) => `stack ${verb}`),
  ])
})

test.each(files)(
  '$id has a summary, an example and at most one argument, in a leaflet',
  async ({command, path}) => {
    expect(command.summary).toMatch(/^[a-z].*[^.]$/)
    expect(command.examples.length).toBeGreaterThan(0)
    expect(Object.values(command.args).map(({required}) => required ?? false)).not.toContain(true)
    expect(Object.keys(command.args).length).toBeLessThanOrEqual(1)
    expect((await readFile(path, 'utf8')).split('\n').length).toBeLessThanOrEqual(81)
  },
)

test.each(files)('$id describes every flag in a fragment, and each has a variable', (file) => {
  for (const [name, flag] of flagsOf(file)) {
    expect(flag.env, name).toMatch(/^CLOUDER_[A-Z_]+$/)
    expect(flag.description, name).toMatch(/^(?![A-Z][a-z]+ed).*[^.]$/)
    expect(flag.description, name).toMatch(/^(?:[a-z]|AWS|Azure|CPU|Kubernetes|SSH)/)
  }
})

/** What only looks, and what hands the words on its line to another program; every other command changes something. */
const withoutQuestions = [
  ...['addon diff', 'addon ls', 'addon status'],
  ...['aws', 'azure'].flatMap((cloud) => ['info', 'regions', 'vm-sizes'].map((verb) => `${cloud} ${verb}`)),
  ...['bundle ls', 'bundle verify', 'byoc ls', 'cost', 'ctx ls', 'ctx show', 'doctor', 'kubectl', 'ssh'],
  ...['doctor', 'inspect', 'ls', 'verify'].map((verb) => `checkpoint ${verb}`),
  ...['infra drift', 'infra output', 'infra plan', 'kubeadm info', 'kubeadm ls', 'kubeadm plan'],
  ...['attach', 'exec', 'logs', 'ls'].map((verb) => `runtime ${verb}`),
  ...['diff', 'plan', 'status'].map((verb) => `stack ${verb}`),
]

test('every command that changes something takes --yes, so that a script need not know which ones ask', () => {
  const takesYes = files.filter((file) => flagsOf(file).some(([name]) => name === 'yes')).map(({id}) => id)
  const changing = files.map(({id}) => id).filter((id) => !withoutQuestions.includes(id))
  expect(takesYes).toEqual(changing)
  for (const file of files) {
    const [, yes] = flagsOf(file).find(([name]) => name === 'yes') ?? []
    if (yes !== undefined) expect(yes).toMatchObject({char: 'y', env: 'CLOUDER_YES'})
  }
})

test.each(files)('$id takes --yes if it asks', async (file) => {
  const asks = /\.ask\(|confirm/.test(await readFile(file.path, 'utf8'))
  expect(asks && withoutQuestions.includes(file.id)).toBe(false)
})

test('a flag means the same wherever it is', () => {
  const meanings = new Map<string, Set<string>>()
  for (const file of files) {
    for (const [name, {env}] of flagsOf(file))
      meanings.set(name, (meanings.get(name) ?? new Set()).add(env ?? ''))
  }
  // `--name`, `--node` and the like belong to one command each; a name that two commands share has one variable.
  const several = [...meanings].filter(([, variables]) => variables.size > 1).map(([name]) => name)
  expect(several).toEqual(['name', 'node'])
})

test('docs/commands.md is what the commands say', async () => {
  const path = join(packageRoot, 'docs/commands.md')
  const page = commandsPage(files)
  if (process.env.UPDATE_GOLDEN === '1') await writeFile(path, page)
  expect(await readFile(path, 'utf8')).toBe(page)
})
