import {DataAwsAmi} from '@cdktf/provider-aws/lib/data-aws-ami/index.js'
import {add, type Aws, type Frame, type Partition} from './frame.ts'

type Architecture = 'x86_64' | 'arm64'

interface Publisher {
  /** Account that publishes the images in each partition. */
  readonly owners: Readonly<Record<Partition, string>>
  /** Name of the images of one architecture, as the publisher writes it. */
  readonly names: (architecture: 'amd64' | 'arm64') => string
}

/** Known for the public partition alone; elsewhere the spec has to name an image. https://wiki.debian.org/Cloud/AmazonEC2Image */
const DEBIAN = {aws: '136693071363', 'aws-cn': '136693071363', 'aws-us-gov': '136693071363'}
/** https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/ */
const CANONICAL = {aws: '099720109477', 'aws-cn': '837727238323', 'aws-us-gov': '513442679011'}

const PUBLISHERS: Readonly<Record<Aws['image'], Publisher>> = {
  'debian-13': {owners: DEBIAN, names: (architecture) => `debian-13-${architecture}-*`},
  'debian-12': {owners: DEBIAN, names: (architecture) => `debian-12-${architecture}-*`},
  'ubuntu-24.04': {
    owners: CANONICAL,
    names: (architecture) => `ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-${architecture}-server-*`,
  },
  'ubuntu-22.04': {
    owners: CANONICAL,
    names: (architecture) => `ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-${architecture}-server-*`,
  },
}

/** Gives the machine image of a group of machines: `control-plane`, `bastion` or the name of a pool. */
export type ImageOf = (group: string, size: string) => string

/**
 * The image that the spec names, the one that was kept, what an apply that was cut short had found, or the newest,
 * looked up once for each architecture.
 */
export function imagesOf(frame: Frame): ImageOf {
  const found = new Map<Architecture, string>()
  return (group, size) => {
    const architecture = architectureOf(size)
    const {imageIds} = frame.input
    const known = frame.aws.imageId ?? imageIds[group] ?? imageIds[`data.aws_ami.${architecture}`]
    if (known !== undefined) return known
    const before = found.get(architecture)
    if (before !== undefined) return before
    const id = lookUp(frame, architecture)
    found.set(architecture, id)
    return id
  }
}

function lookUp(frame: Frame, architecture: Architecture): string {
  const publisher = PUBLISHERS[frame.aws.image]
  return add(frame, DataAwsAmi, architecture, {
    owners: [publisher.owners[frame.partition]],
    mostRecent: true,
    filter: [
      {name: 'name', values: [publisher.names(architecture === 'arm64' ? 'arm64' : 'amd64')]},
      {name: 'architecture', values: [architecture]},
      {name: 'virtualization-type', values: ['hvm']},
      {name: 'root-device-type', values: ['ebs']},
      {name: 'state', values: ['available']},
    ],
  }).id
}

/**
 * A `g` after the generation stands for Graviton: t4g.large, c7gn.xlarge, g5g.xlarge, but not g5.xlarge or g4dn.xlarge.
 * https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
 */
export function architectureOf(size: string): Architecture {
  return /^(a1|[a-z]+\d+g[a-z]*)(-[^.]*)?\./.test(size) ? 'arm64' : 'x86_64'
}
