import {execFile} from 'node:child_process'
import {cp, mkdir, rm, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {parentLinks, roundName} from '../../src/checkpoint/archive/pre-copy.ts'
import {mergedDump} from '../../src/programs/node-agent/merged-dump.ts'
import {runcWords} from '../../src/programs/node-agent/runc.ts'
import {buildPageWriter, writtenPagesIn} from '../support/page-writer.ts'
import {tempFolder} from '../support/temp-folder.ts'
import {fillWithRuntime, START_RUNTIME} from '../support/vm-runtime.ts'
import {withVm, type Vm} from '../support/with-vm.ts'

const run = promisify(execFile)
const ROUNDS = 3
const MEBIBYTES = 48
const DUMP = '/var/tmp/dump'
const TARGET = '/var/tmp/target'

/** The runtime, and a program that knows what each of its pages has to hold. */
async function fill(folder: string): Promise<void> {
  await fillWithRuntime(folder)
  await buildPageWriter(folder)
}

const ASK = `ask() { nsenter -t "$1" -n sh -c "ip link set lo up; curl -sS --max-time 300 --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/"; }`
const shell = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ')

/** The agent's own words to runc, in the folders where it has them. */
function dumpScript(kind: 'pre-dump' | 'dump', round: number): string {
  const images = `${DUMP}/checkpoint${kind === 'dump' ? '' : `/${roundName(round)}`}`
  const work = `${DUMP}/work/${kind}-${round}`
  const before = kind === 'dump' ? roundName(round) : `../${roundName(round - 1)}`
  const folders = {images, work, ...(kind === 'pre-dump' && round === 1 ? {} : {parent: before})}
  return `mkdir -p ${images} ${work}
    began=$(date +%s%3N)
    ${shell(runcWords(kind, 'writer', folders))} || { cat ${work}/runc.log; grep -a Error ${work}/dump.log; exit 1; } >&2
    echo "took ${kind === 'dump' ? '.' : roundName(round)} $(($(date +%s%3N) - began))"`
}

/** Rounds while the program writes, and the dump while it is paused. */
const COPY = `${START_RUNTIME}
  ${ASK}
  mkdir /var/tmp/root
  cp /mnt/tools/page-writer /var/tmp/root/
  ctr -n k8s.io run --detach --rootfs /var/tmp/root writer /page-writer :8080 ${MEBIBYTES} 400
  pid=$(ctr -n k8s.io task ls | awk '$1 == "writer" {print $2}')
  echo "before $(ask "$pid")"
  ${Array.from({length: ROUNDS}, (_, index) => dumpScript('pre-dump', index + 1)).join('\n')}
  ctr -n k8s.io task pause writer
  ${dumpScript('dump', ROUNDS)}
  ctr -n k8s.io task resume writer
  echo "source $(ask "$pid")"
  ctr -n k8s.io task kill -s KILL writer
  for _ in $(seq 300); do [ -e "/proc/$pid" ] || break; sleep 0.2; done
  cd ${DUMP}/checkpoint
  find . -type l -printf 'link %P %l\\n' -exec rm {} +
  find . -type f -printf 'size %P %s\\n'`

/** What a target gets: files, and links that it makes by itself. */
const RESTORE = `${START_RUNTIME}
  ${ASK}
  mkdir -p ${TARGET}/work
  cp -r ${DUMP}/checkpoint ${TARGET}/
  ${parentLinks(ROUNDS)
    .map(({path, to}) => `ln -s ${to} ${TARGET}/checkpoint/${path}`)
    .join('\n')}
  # The restored process keeps what is open here: the end of the SSH session would wait for it.
  runc --root /run/containerd/runc/k8s.io restore --detach --image-path ${TARGET}/checkpoint --work-path ${TARGET}/work \\
    --pid-file ${TARGET}/pid --bundle /run/containerd/io.containerd.runtime.v2.task/k8s.io/writer restored \\
    < /dev/null > /dev/null 2> ${TARGET}/said || { cat ${TARGET}/said; grep -a Error ${TARGET}/work/restore.log; exit 1; } >&2
  echo "target $(ask "$(cat ${TARGET}/pid)")"
  runc --root /run/containerd/runc/k8s.io kill restored KILL`

/** The images that are not pages, and pages as files of holes: their sizes are what a merge goes by. */
async function fetched(vm: Vm, folder: string, sizes: string): Promise<void> {
  const tar = await vm.read(`cd ${DUMP}/checkpoint && tar -cz --exclude 'pages-*' . | base64 -w0`)
  await run('sh', ['-c', `printf %s "$TAR" | base64 -d | tar -xz -C "$1"`, 'sh', folder], {
    env: {...process.env, TAR: tar},
  })
  for (const [, path = '', size = ''] of sizes.matchAll(/^size (\S*pages-\S+) (\d+)$/gm))
    await run('truncate', ['--size', size, join(folder, path)])
}

test('memory that is copied in rounds while it is written to is restored as it was at the freeze', () =>
  withVm(fill, async (vm) => {
    expect(await vm.read('grep -m1 VmFlags /proc/self/smaps')).toMatch(/ sd( |$)/)
    const copied = await vm.read(COPY)
    const [before, source] = [writtenPagesIn(copied, 'before '), writtenPagesIn(copied, 'source ')]
    expect(before, copied).toMatchObject({pages: MEBIBYTES * 256, bad: 0})
    expect(source, copied).toMatchObject({bad: 0})
    const links = [...copied.matchAll(/^link (\S+) (\S+)$/gm)].map(([, path, to]) => ({path, to}))
    expect(new Set(links)).toEqual(new Set(parentLinks(ROUNDS)))
    const target = writtenPagesIn(await vm.read(RESTORE), 'target ')
    expect(target).toMatchObject({pages: before.pages, bad: 0})
    expect(target.writes).toBeGreaterThan(before.writes)
    await using folder = await tempFolder()
    await mkdir(join(folder.path, 'checkpoint'))
    await fetched(vm, join(folder.path, 'checkpoint'), copied)
    // What is stored of such a dump: all pages once.
    const merged = await mergedDump(join(folder.path, 'checkpoint'))
    const pages = merged?.get('pages-1.img')
    if (pages === undefined || Buffer.isBuffer(pages)) throw new Error('no pages were merged')
    const mergedBytes = pages.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0)
    expect(mergedBytes).toBeGreaterThan(MEBIBYTES * 1024 ** 2)
    expect(mergedBytes).toBeLessThan(1.5 * MEBIBYTES * 1024 ** 2)
    const sizes = [...copied.matchAll(/^size (?:(\S+)\/)?pages-1\.img (\d+)$/gm)]
    const bytesOf = (round: string | undefined) => Number(sizes.find(([, name]) => name === round)?.[2] ?? 0)
    // Only a quarter is written to.
    expect(bytesOf('pre-1')).toBeGreaterThan(MEBIBYTES * 1024 ** 2)
    expect(bytesOf(undefined)).toBeLessThan(0.6 * bytesOf('pre-1'))
    await record(join(folder.path, 'checkpoint'), copied)
  }))

/** What unit tests read of it: pagemaps, and what is told of the other files. Set to a folder, it is recorded again. */
async function record(images: string, copied: string): Promise<void> {
  const to = process.env['CLOUDER_RECORD_PRE_COPY']
  if (to === undefined) return
  await rm(to, {recursive: true, force: true})
  const numbersOf = (what: string) =>
    Object.fromEntries(
      [...copied.matchAll(new RegExp(`^${what} (\\S+) (\\d+)$`, 'gm'))]
        .map(([, name = '', number]) => [name, Number(number)] as const)
        .sort(([one], [other]) => (one < other ? -1 : 1)),
    )
  const [sizes, tookMs] = [numbersOf('size'), numbersOf('took')]
  for (const path of Object.keys(sizes).filter((name) => name.includes('pagemap-'))) {
    await mkdir(dirname(join(to, path)), {recursive: true})
    await cp(join(images, path), join(to, path))
  }
  await writeFile(join(to, 'rounds.json'), `${JSON.stringify({sizes, tookMs}, undefined, 2)}\n`)
}
