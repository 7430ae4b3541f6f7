import {expect, test} from 'vitest'
import {catalogueFor, expectedReferences, supportedVersions} from '../../../src/bundle/catalogue.ts'
import {goSource} from '../../../src/bundle/go-source.ts'
import {publishedAddonImages} from '../../../src/bundle/published-addon-images.ts'
import {releaseSource} from '../../../src/bundle/release-source.ts'
import {parseReference} from '../../../src/registry/reference.ts'
import {CLOUD_ADDONS} from '../../support/cloud-addons.ts'

const images = publishedAddonImages()

test('published images have an exact tag, which a registry session can read', () => {
  for (const {reference, version} of images) {
    expect(parseReference(reference)?.selector).toBe(`v${version}`)
    expect(version).toMatch(/^\d+\.\d+\.\d+$/)
  }
})

test.each(supportedVersions())('no two images of a bundle of %s share a name or a reference', (version) => {
  const all = catalogueFor(version).images
  for (const key of ['name', 'reference'] as const)
    expect(new Set(all.map((image) => image[key])).size).toBe(all.length)
})

test('only published images have them, and no bundle is incomplete without them', () => {
  const expected = new Set(expectedReferences('1.35.4'))
  for (const image of images) {
    expect(goSource().has(image)).toBe(false)
    expect(releaseSource().has(image)).toBe(true)
    expect(expected.has(image.reference)).toBe(false)
  }
})

test('the driver of a cloud addon has the version of the addon', () => {
  const versions = new Map(images.map(({name, version}) => [name, version]))
  for (const {id, version, images: names} of Object.values(CLOUD_ADDONS).flat()) {
    const [program = ''] = names
    if (versions.has(program)) expect([id, versions.get(program)]).toEqual([id, version])
  }
})

test('whatever a cloud addon runs or installs, a bundle can hold', () => {
  const {images: known, manifests} = catalogueFor('1.35.4')
  const names = new Set([...known, ...manifests].map(({name}) => name))
  const wanted = Object.values(CLOUD_ADDONS)
    .flat()
    .flatMap((addon) => [...addon.images, ...(addon.manifests ?? [])])
  expect(wanted.filter((name) => !names.has(name))).toEqual([])
})
