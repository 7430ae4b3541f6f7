import {expect, test} from 'vitest'
import {parseChecksum} from '../../../src/bundle/release-checksums.ts'
import {BundleError} from '../../../src/bundle/errors.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const url = 'https://example.org/sums'

test.for([
  ['a bare digest', A],
  ['a bare digest with a line end', `${A}\n`],
  ['upper case', `${A.toUpperCase()}\n`],
  ['sha256sum', `${A}  runc.amd64\n`],
  ['sha256sum in binary mode', `${A} *runc.amd64\n`],
  ['a list', `${B}  runc.386\n${A}  runc.amd64\n${B}  runc.amd64.asc\n`],
  ['line ends of Windows', `${B}  runc.386\r\n${A}  runc.amd64\r\n`],
  ['names with folders', `${A}  ./release/v1/runc.amd64\n`],
  ['the BSD form', `SHA256 (runc.amd64) = ${A}\n`],
  ['comments and empty lines', `# sums of the release\n\n${A}  runc.amd64\n\n`],
  ['the same line twice', `${A}  runc.amd64\n${A}  runc.amd64\n`],
])('reads %s', ([, text]) => {
  expect(parseChecksum(text ?? '', 'runc.amd64', url)).toBe(A)
})

test.for([
  ['nothing', '', 'no sha256'],
  ['a page of a proxy', '<html>please log in</html>', 'no sha256'],
  ['another file only', `${A}  runc.arm64\n`, 'no sha256'],
  ['a name that ends alike', `${A}  notrunc.amd64\n`, 'no sha256'],
  ['a digest of another length', `${A}${A}  runc.amd64\n`, 'no sha256'],
  ['two bare digests', `${A}\n${B}\n`, 'no sha256'],
  ['two answers', `${A}  runc.amd64\n${B}  runc.amd64\n`, 'several sha256'],
])('refuses %s', ([, text, problem]) => {
  const parse = () => parseChecksum(text ?? '', 'runc.amd64', url)
  expect(parse).toThrow(BundleError)
  expect(parse).toThrow(`${url} contains ${problem ?? ''} of runc.amd64`)
})
