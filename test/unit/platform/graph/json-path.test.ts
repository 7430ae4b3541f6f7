import {expect, test} from 'vitest'
import {parseJsonPath, valueAtJsonPath} from '../../../../src/platform/graph/json-path.ts'

const object = {status: {ips: [{ip: '10.0.0.1'}]}, data: {'tls.crt': 'x'}}

test.for<readonly [string, unknown]>([
  ['{.status.ips[0].ip}', '10.0.0.1'],
  ['.status.ips[0].ip', '10.0.0.1'],
  ['{.data.tls\\.crt}', 'x'],
  [`{.data['tls.crt']}`, 'x'],
  ['{.data["tls.crt"]}', 'x'],
  ['{.status.ips[1].ip}', undefined],
  ['{.status.none.ip}', undefined],
])('%s', ([path, value]) => {
  expect(valueAtJsonPath(object, parseJsonPath(path) ?? [])).toBe(value)
})

test.for(['', '{}', 'status', '{.a[*]}', '{.a[?(@.b)]}', '{..a}', '{.a'])('%j is no path', (path) => {
  expect(parseJsonPath(path)).toBeUndefined()
})
