import fc from 'fast-check'
import {expect, test} from 'vitest'
import {imageContents, isReadImage} from '../../../../src/checkpoint/archive/criu-images.ts'
import {readArchive} from '../../../../src/checkpoint/archive/read.ts'
import {IMAGES} from '../../../support/criu-images.ts'
import {MEMBERS, tarOf} from '../../../support/kubelet-archive.ts'
import {pieces} from '../../../support/sealed-checkpoint.ts'

const CONTENTS = {
  processes: [
    {pid: 1, ppid: 0, command: 'sh', threads: 1, residentBytes: 0, uid: 0},
    {pid: 7, ppid: 1, command: 'server', threads: 3, residentBytes: 103 * 4096, uid: 1000},
  ],
  sockets: [
    {kind: 'tcp6', local: '[::]:8080', state: 'LISTEN'},
    {kind: 'tcp', local: '127.0.0.1:8080', remote: '127.0.0.1:40000', state: 'ESTABLISHED'},
    {kind: 'unix stream', local: '@bus', state: 'LISTEN'},
  ],
  openFiles: [
    {pid: 7, fd: 0, path: '/var/log/server.log'},
    {pid: 7, fd: 3, path: 'tcp6 [::]:8080 LISTEN'},
    {pid: 7, fd: 4, path: 'tcp 127.0.0.1:8080 to 127.0.0.1:40000 ESTABLISHED'},
    {pid: 7, fd: 5, path: 'unix stream @bus LISTEN'},
    {pid: 7, fd: 6, path: 'pipe:[77]'},
    {pid: 7, fd: 7, path: 'eventfd'},
    {pid: 7, fd: 8, path: 'file of type 999'},
  ],
  mounts: ['/ overlay overlay', '/etc/hosts (of the pod)', '/data ext4 /dev/vdb'],
}

test("CRIU's images tell processes, sockets, open files and mounts", () => {
  expect(imageContents(new Map(Object.entries(IMAGES)))).toEqual(CONTENTS)
})

test('an archive tells what its images hold and how large they are', async () => {
  const images = Object.fromEntries(
    Object.entries(IMAGES).map(([name, bytes]) => [`checkpoint/${name}`, bytes]),
  )
  const pages = {'checkpoint/pages-1.img': Buffer.alloc(103 * 4096), 'rootfs-diff.tar': Buffer.alloc(512)}
  const archive = await tarOf({...images, ...pages, ...MEMBERS})
  const {contents} = await readArchive(pieces(archive), new AbortController().signal)
  const imageBytes = Object.values({...IMAGES, pages: pages['checkpoint/pages-1.img']}).reduce(
    (sum, {length}) => sum + length,
    0,
  )
  const {held, used, ...rest} = contents
  expect(rest).toEqual({...CONTENTS, imageBytes, filesBytes: 512, volumes: []})
  expect(used).toEqual({openFiles: 7, addressBytes: 0})
  expect(held).toMatchObject([{kind: 'file', path: '/var/log/server.log', holder: {pid: 7}}])
})

test('memory itself is not read to look at a checkpoint', () => {
  expect(['core-1.img', 'pstree.img', 'mountpoints-13.img'].every(isReadImage)).toBe(true)
  expect(['pages-1.img', 'tmpfs-dev-306.tar.gz.img', 'descriptors.json'].some(isReadImage)).toBe(false)
})

test('images of another kind, cut off or made of anything are left out', () => {
  const images = new Map(Object.entries(IMAGES))
  const pstree = images.get('pstree.img') ?? Buffer.alloc(0)
  expect(imageContents(new Map([['core-1.img', pstree]])).processes).toEqual([])
  fc.assert(
    fc.property(
      fc.constantFrom(...images.keys()),
      fc.uint8Array({maxLength: 40}),
      fc.nat({max: 60}),
      (name, noise, at) => {
        const broken = Buffer.concat([Buffer.from(images.get(name) ?? []).subarray(0, at), noise])
        expect(() => imageContents(new Map([...images, [name, broken]]))).not.toThrow()
      },
    ),
  )
})
