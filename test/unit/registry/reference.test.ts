import {expect, test} from 'vitest'
import {catalogueFor, supportedVersions} from '../../../src/bundle/catalogue.ts'
import {parseChallenge} from '../../../src/registry/challenge.ts'
import {parseReference} from '../../../src/registry/reference.ts'

const DIGEST = `sha256:${'0'.repeat(64)}`

test('takes a reference apart', () => {
  expect(parseReference('registry.k8s.io/coredns/coredns:v1.13.1')).toEqual({
    host: 'registry.k8s.io',
    repository: 'coredns/coredns',
    selector: 'v1.13.1',
  })
  expect(parseReference(`localhost:5000/a@${DIGEST}`)).toEqual({
    host: 'localhost:5000',
    repository: 'a',
    selector: DIGEST,
  })
})

test('a digest counts more than a tag beside it', () => {
  expect(parseReference(`ghcr.io/a/b:v1@${DIGEST}`)?.selector).toBe(DIGEST)
})

test('every reference of every catalogue can be taken apart', () => {
  for (const {images} of supportedVersions().map(catalogueFor)) {
    for (const {reference} of images) {
      const {host, repository, selector} = parseReference(reference) ?? {}
      expect(`${host}/${repository}:${selector}`).toBe(reference)
    }
  }
})

test.for(['pause', 'ghcr.io/a/b', 'ghcr.io/A/b:v1', 'ghcr.io/a b:v1', 'ghcr.io/a:v1@sha256:12'])(
  'refuses %s',
  (reference) => {
    expect(parseReference(reference)).toBeUndefined()
  },
)

test.for([
  [
    'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull"',
    'repository:a/b:pull',
  ],
  [
    'bearer Scope="repository:a/b:pull,push" , realm="https://ghcr.io/token", service=ghcr.io',
    'repository:a/b:pull,push',
  ],
  ['Bearer realm="https://ghcr.io/token",service="ghcr.io"', undefined],
  ['Basic realm="x", Bearer realm="https://ghcr.io/token",service="ghcr.io"', undefined],
  ['Bearer realm="https://ghcr.io/token",service="ghcr.io", Basic realm="x"', undefined],
])('reads the challenge %s', ([header, scope]) => {
  expect(parseChallenge(header ?? '')).toEqual({realm: 'https://ghcr.io/token', service: 'ghcr.io', scope})
})

test.for([null, '', 'Basic realm="registry"', 'Bearer service="x"'])(
  'finds no Bearer challenge in %s',
  (header) => {
    expect(parseChallenge(header)).toBeUndefined()
  },
)
