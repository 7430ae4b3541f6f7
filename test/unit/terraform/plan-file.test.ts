import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {deflateRawSync} from 'node:zlib'
import {expect, test} from 'vitest'
import {LOCK_FILE, lockFileOf} from '../../../src/terraform/plan-file.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

/** A zip as Go writes it: sizes in the central directory, and extra fields in the local ones. */
function zipOf(files: Readonly<Record<string, string>>, method: 0 | 8): Buffer {
  const bodies: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, text] of Object.entries(files)) {
    const content = method === 8 ? deflateRawSync(text) : Buffer.from(text)
    const local = Buffer.alloc(30)
    local.write('PK\u0003\u0004', 'latin1')
    local.writeUInt16LE(name.length, 26)
    local.writeUInt16LE(4, 28)
    const entry = Buffer.alloc(46)
    entry.write('PK\u0001\u0002', 'latin1')
    entry.writeUInt16LE(method, 10)
    entry.writeUInt32LE(content.length, 20)
    entry.writeUInt16LE(name.length, 28)
    entry.writeUInt32LE(offset, 42)
    const body = Buffer.concat([local, Buffer.from(name), Buffer.alloc(4), content])
    offset += body.length
    bodies.push(body)
    directory.push(entry, Buffer.from(name))
  }
  const end = Buffer.alloc(22)
  end.write('PK\u0005\u0006', 'latin1')
  end.writeUInt16LE(bodies.length, 10)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...bodies, ...directory, end])
}

test.each([0, 8] as const)(
  'a saved plan gives the lock file that it was made with, method %i',
  async (method) => {
    await withTempFolder(async (dir) => {
      const plan = join(dir, 'plan.tfplan')
      const text = 'provider "registry.terraform.io/hashicorp/aws" {\n  version = "6.25.0"\n}\n'
      await writeFile(plan, zipOf({tfplan: 'x'.repeat(1000), [LOCK_FILE]: text, 'tfconfig/a': ''}, method))
      expect(await lockFileOf(plan)).toBe(text)
      await writeFile(plan, zipOf({tfplan: 'x'}, method))
      expect(await lockFileOf(plan)).toBeUndefined()
      await writeFile(plan, 'no zip at all')
      expect(await lockFileOf(plan)).toBeUndefined()
    })
  },
)
