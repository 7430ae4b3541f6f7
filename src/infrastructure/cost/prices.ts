import type {CloudKind} from '../clouds/cloud.ts'

/** Which day the list prices below were those of the clouds, as far as was known when they were written down. */
export const SHIPPED_DATE = '2025-06-30'

/** Prices of one cloud in its cheapest large region, in US dollars, without tax, traffic or discounts. */
interface ShippedPrices {
  /** An hour of the size that counts 1, by family. */
  readonly families: Readonly<Record<string, number>>
  /** An hour of sizes that do not grow with their family. */
  readonly sizes: Readonly<Record<string, number>>
  /** How much dearer a region is; others count as `elsewhere`. */
  readonly regions: Readonly<Record<string, number>>
  readonly elsewhere: number
  /** A month of a GiB, by type of storage. */
  readonly gibMonth: Readonly<Record<string, number>>
  /** An hour of other things. */
  readonly hour: Readonly<Record<string, number>>
}

const AWS: ShippedPrices = {
  // One `large`.
  families: {
    t3: 0.0832,
    t3a: 0.0752,
    t4g: 0.0672,
    m5: 0.096,
    m5a: 0.086,
    m6i: 0.096,
    m6a: 0.0864,
    m6g: 0.077,
    m7i: 0.1008,
    m7a: 0.1159,
    m7g: 0.0816,
    c5: 0.085,
    c6i: 0.085,
    c6a: 0.0765,
    c6g: 0.068,
    c7i: 0.0893,
    c7g: 0.0725,
    r5: 0.126,
    r6i: 0.126,
    r6g: 0.1008,
    r7i: 0.1323,
    r7g: 0.1071,
  },
  sizes: {
    't3.nano': 0.0052,
    't4g.nano': 0.0042,
    't3.micro': 0.0104,
    't3.small': 0.0208,
    'g4dn.xlarge': 0.526,
    'g4dn.2xlarge': 0.752,
    'g4dn.4xlarge': 1.204,
    'g4dn.8xlarge': 2.176,
    'g4dn.12xlarge': 3.912,
    'g5.xlarge': 1.006,
    'g5.2xlarge': 1.212,
    'g5.4xlarge': 1.624,
    'g5.8xlarge': 2.448,
    'g5.12xlarge': 5.672,
    'g6.xlarge': 0.8048,
    'g6.2xlarge': 0.9776,
    'p3.2xlarge': 3.06,
  },
  regions: {
    'us-east-1': 1,
    'us-east-2': 1,
    'us-west-2': 1,
    'us-west-1': 1.17,
    'ca-central-1': 1.12,
    'eu-north-1': 1.06,
    'eu-west-1': 1.12,
    'eu-west-2': 1.16,
    'eu-west-3': 1.17,
    'eu-central-1': 1.2,
    'eu-south-1': 1.17,
    'ap-south-1': 1.05,
    'ap-southeast-1': 1.25,
    'ap-southeast-2': 1.25,
    'ap-northeast-1': 1.29,
    'ap-northeast-2': 1.23,
    'sa-east-1': 1.59,
  },
  elsewhere: 1.25,
  gibMonth: {gp3: 0.08, gp2: 0.1, io2: 0.125, snapshot: 0.05, efs: 0.3, s3: 0.023},
  hour: {
    'nat-gateway': 0.045,
    'load-balancer': 0.0225,
    'load-balancer classic': 0.025,
    address: 0.005,
  },
}

const AZURE: ShippedPrices = {
  // One processor.
  families: {
    Standard_Ds_v3: 0.048,
    Standard_Ds_v4: 0.048,
    Standard_Ds_v5: 0.048,
    Standard_Das_v5: 0.043,
    Standard_Dds_v5: 0.0565,
    Standard_Dps_v5: 0.0385,
    Standard_Es_v4: 0.063,
    Standard_Es_v5: 0.063,
    Standard_Eas_v5: 0.0565,
    Standard_Fs_v2: 0.0423,
    Standard_NCas_T4_v3: 0.1315,
  },
  sizes: {
    Standard_B1s: 0.0104,
    Standard_B1ms: 0.0207,
    Standard_B2s: 0.0416,
    Standard_B2ms: 0.0832,
    Standard_B4ms: 0.166,
    Standard_B8ms: 0.333,
    Standard_B2ts_v2: 0.0104,
    Standard_B2pts_v2: 0.0084,
  },
  regions: {
    eastus: 1,
    eastus2: 1,
    westus2: 1,
    westus3: 1,
    centralus: 1.04,
    swedencentral: 1.06,
    northeurope: 1.11,
    westeurope: 1.2,
    uksouth: 1.16,
    francecentral: 1.17,
    germanywestcentral: 1.2,
    centralindia: 1.05,
    southeastasia: 1.25,
    australiaeast: 1.25,
    japaneast: 1.29,
    brazilsouth: 1.6,
  },
  elsewhere: 1.25,
  gibMonth: {Premium_LRS: 0.154, StandardSSD_LRS: 0.075, snapshot: 0.05, nfs: 0.16, blob: 0.0208},
  hour: {'nat-gateway': 0.045, 'load-balancer': 0.025, address: 0.005},
}

const SHIPPED: Readonly<Record<CloudKind, ShippedPrices>> = {aws: AWS, azure: AZURE}

/** Sizes of AWS in those of a `large`; `8xlarge` is 8 × 2. */
const AWS_SIZES: Readonly<Record<string, number>> = {
  nano: 1 / 16,
  micro: 1 / 8,
  small: 1 / 4,
  medium: 1 / 2,
  large: 1,
  xlarge: 2,
}

/** Prices of machines that the cloud itself told, and when. */
export interface FetchedPrices {
  /** ISO 8601. */
  readonly date: string
  /** US dollars an hour, by size. */
  readonly hourly: Readonly<Record<string, number>>
}

/** What things cost in one region. */
export interface PriceList {
  readonly kind: CloudKind
  readonly region: string
  /** Day of the prices of machines. */
  readonly date: string
  /** US dollars an hour; undefined: not known. */
  machine(size: string): number | undefined
  /** US dollars a month of a GiB. */
  storage(type: string): number | undefined
  /** US dollars an hour of a `nat-gateway`, `load-balancer`, `address`. */
  thing(name: string): number | undefined
}

/** The prices of the cloud itself where they were fetched, else those that ship with clouder. */
export function priceList(kind: CloudKind, region: string, fetched?: FetchedPrices): PriceList {
  const {families, sizes, regions, elsewhere, gibMonth, hour} = SHIPPED[kind]
  const factor = regions[region] ?? elsewhere
  const times = (price: number | undefined): number | undefined =>
    price === undefined ? undefined : price * factor
  const ofFamily = (size: string): number | undefined => {
    const {family, units} = kind === 'aws' ? awsParts(size) : azureParts(size)
    const one = families[family]
    return one === undefined || units === undefined ? undefined : one * units
  }
  return {
    kind,
    region,
    date: fetched?.date.slice(0, 10) ?? SHIPPED_DATE,
    machine: (size) => fetched?.hourly[size] ?? times(sizes[size] ?? ofFamily(size)),
    storage: (type) => times(gibMonth[type]),
    thing: (name) => times(hour[name]),
  }
}

function awsParts(size: string): {family: string; units: number | undefined} {
  const [family = '', grade = ''] = size.split('.')
  const [, many] = /^(\d+)xlarge$/.exec(grade) ?? []
  return {family, units: many === undefined ? AWS_SIZES[grade] : Number(many) * 2}
}

/** `Standard_D4s_v5` is four processors of `Standard_Ds_v5`. */
function azureParts(size: string): {family: string; units: number | undefined} {
  const [, letters = '', vcpus, rest = ''] = /^(Standard_[A-Z]+)(\d+)(.*)$/.exec(size) ?? []
  return {family: `${letters}${rest}`, units: vcpus === undefined ? undefined : Number(vcpus)}
}
