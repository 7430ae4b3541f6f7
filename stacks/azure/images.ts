import {DataAzurermPlatformImage} from '@cdktf/provider-azurerm/lib/data-azurerm-platform-image/index.js'
import type {LinuxVirtualMachineSourceImageReference} from '@cdktf/provider-azurerm/lib/linux-virtual-machine/index.js'
import {addressed, type Azure, type Frame} from './frame.ts'

/** What a machine is made from: an image of the marketplace, or one of the user's own by its resource id. */
export type ImageArguments =
  {readonly sourceImageReference: LinuxVirtualMachineSourceImageReference} | {readonly sourceImageId: string}

interface Offer {
  readonly publisher: string
  readonly offer: string
  readonly sku: {readonly amd64: string; readonly arm64: string}
}

/** Images of generation 2 as their makers publish them. */
const OFFERS: Readonly<Record<Azure['image'], Offer>> = {
  'debian-13': {
    publisher: 'Debian',
    offer: 'debian-13',
    sku: {amd64: '13-gen2', arm64: '13-arm64'},
  },
  'debian-12': {
    publisher: 'Debian',
    offer: 'debian-12',
    sku: {amd64: '12-gen2', arm64: '12-arm64'},
  },
  'ubuntu-24.04': {
    publisher: 'Canonical',
    offer: 'ubuntu-24_04-lts',
    sku: {amd64: 'server', arm64: 'server-arm64'},
  },
  'ubuntu-22.04': {
    publisher: 'Canonical',
    offer: '0001-com-ubuntu-server-jammy',
    sku: {amd64: '22_04-lts-gen2', arm64: '22_04-lts-arm64'},
  },
}

/** `p` among the letters after the number of processors stands for an ARM processor: `Standard_D4ps_v5`. */
export function architectureOf(size: string): 'amd64' | 'arm64' {
  return /^Standard_[A-Z]+\d+(-\d+)?[a-z]*p[a-z]*(_|$)/.test(size) ? 'arm64' : 'amd64'
}

/**
 * The image of a role or pool: what the record knows, else what the spec says, else the newest of the operating system,
 * looked up once per architecture. A marketplace image is written `publisher:offer:sku:version`.
 */
export function imageOf(frame: Frame, owner: string, size: string): ImageArguments {
  const known = frame.input.imageIds[owner] ?? frame.azure.imageId
  if (known === undefined) return newest(frame, architectureOf(size))
  if (known.startsWith('/')) return {sourceImageId: known}
  const [publisher, offer, sku, version, ...rest] = known.split(':')
  if (
    publisher === undefined ||
    offer === undefined ||
    sku === undefined ||
    version === undefined ||
    rest.length > 0
  )
    throw new TypeError(`${known} is neither a resource id nor publisher:offer:sku:version`)
  return {sourceImageReference: {publisher, offer, sku, version}}
}

function newest(frame: Frame, architecture: 'amd64' | 'arm64'): ImageArguments {
  const {publisher, offer, sku} = OFFERS[frame.azure.image]
  const id = `image ${architecture}`
  const there = frame.stack.node.tryFindChild(id)
  const found =
    there instanceof DataAzurermPlatformImage
      ? there
      : addressed(
          new DataAzurermPlatformImage(frame.stack, id, {
            location: frame.location,
            publisher,
            offer,
            sku: sku[architecture],
          }),
          architecture,
        )
  return {sourceImageReference: {publisher, offer, sku: sku[architecture], version: found.version}}
}
