import {mkdir, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {fetchOptions, parseAptSources, readAptSources} from '../../../src/base/apt-sources.ts'
import {debianMirrorOf} from '../../../src/infrastructure/containers/debian-mirror.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const mirrorIn = (files: Parameters<typeof parseAptSources>[0]) => debianMirrorOf(parseAptSources(files))

const deb822 = `Types: deb
# a snapshot was here
URIs: http://mirror.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian.gpg
`

test('the mirror, its security sources and its keyring are found in deb822 files', () => {
  expect(mirrorIn([{name: 'debian.sources', text: deb822}])).toEqual({
    main: 'http://mirror.example.org/debian',
    security: 'http://mirror.example.org/debian-security',
    signedBy: '/usr/share/keyrings/debian.gpg',
  })
})

test('one-line sources are read with and without options', () => {
  const text = [
    '# deb http://old.example.org/debian trixie main',
    'deb [arch=amd64 signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example.org/apt stable vendor',
    'deb [signed-by=/k.gpg] http://mirror.example.org/debian trixie main contrib # ours',
    'deb http://mirror.example.org/security trixie-security main',
  ].join('\n')
  expect(mirrorIn([{name: 'sources.list', text}])).toEqual({
    main: 'http://mirror.example.org/debian',
    security: 'http://mirror.example.org/security',
    signedBy: '/k.gpg',
  })
})

test('every suite and component of a source is one, in the order in which apt reads its files', async () => {
  await withTempFolder(async (dir) => {
    expect(await readAptSources(dir)).toEqual([])
    await mkdir(join(dir, 'sources.list.d'))
    await writeFile(join(dir, 'sources.list'), 'deb http://a.example.org/debian trixie main contrib\n')
    await writeFile(join(dir, 'sources.list.d', 'debian.sources'), deb822)
    await writeFile(join(dir, 'sources.list.d', 'old.list.save'), 'deb http://b.example.org/debian sid main')
    const sources = await readAptSources(dir)
    expect(sources.map(({uri, suite, component}) => `${uri} ${suite} ${component}`)).toEqual([
      'http://a.example.org/debian trixie main',
      'http://a.example.org/debian trixie contrib',
      'http://mirror.example.org/debian bookworm main',
      'http://mirror.example.org/debian bookworm-updates main',
      'http://mirror.example.org/debian-security bookworm-security main',
    ])
  })
})

test('sources that are switched off or of another distribution are no Debian mirror', () => {
  const text =
    'Types: deb\nURIs: http://archive.example.org/ubuntu\nSuites: jammy\nComponents: main universe\n'
  expect(mirrorIn([{name: 'ubuntu.sources', text}])).toBeUndefined()
  expect(
    mirrorIn([{name: 'debian.sources', text: `Enabled: no\n${deb822.split('\n\n')[0]}`}]),
  ).toBeUndefined()
})

test('only how to fetch is taken from the machine’s apt configuration', () => {
  const dump = [
    'APT::Architecture "amd64";',
    'Acquire "";',
    'Acquire::http "";',
    'Acquire::http::Proxy "http://proxy.example.org:3128";',
    'Acquire::Check-Valid-Until "false";',
    'DPkg::Post-Invoke:: "rm -f /var/cache/apt/*.bin";',
  ].join('\n')
  expect(fetchOptions(dump)).toEqual([
    'Acquire::http::Proxy "http://proxy.example.org:3128";',
    'Acquire::Check-Valid-Until "false";',
  ])
})
