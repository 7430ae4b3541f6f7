import {expect, test} from 'vitest'
import {fetchOptions, findDebianMirror} from '../../../src/containers/apt-sources.ts'

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
  expect(findDebianMirror([{name: 'debian.sources', text: deb822}])).toEqual({
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
  expect(findDebianMirror([{name: 'sources.list', text}])).toEqual({
    main: 'http://mirror.example.org/debian',
    security: 'http://mirror.example.org/security',
    signedBy: '/k.gpg',
  })
})

test('sources that are switched off or of another distribution are no Debian mirror', () => {
  const text =
    'Types: deb\nURIs: http://archive.example.org/ubuntu\nSuites: jammy\nComponents: main universe\n'
  expect(findDebianMirror([{name: 'ubuntu.sources', text}])).toBeUndefined()
  expect(
    findDebianMirror([{name: 'debian.sources', text: `Enabled: no\n${deb822.split('\n\n')[0]}`}]),
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
  expect(fetchOptions(dump)).toBe(
    'Acquire::http::Proxy "http://proxy.example.org:3128";\nAcquire::Check-Valid-Until "false";',
  )
})
