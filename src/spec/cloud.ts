import {z} from 'zod'

/** What both clouds understand; what only one has stands beside it. */
const network = (cidr: string) => ({
  mode: z
    .enum(['private', 'public'])
    .default('private')
    .describe(
      '`private`: nodes have no public address and use NAT for outgoing traffic; `public`: each node has a public address',
    ),
  cidr: z.string().default(cidr).describe('CIDR of the network that is created'),
})

const shared = {
  bastion: z
    .enum(['host', 'ssm', 'none'])
    .default('host')
    .describe(
      'how SSH reaches private nodes: a small jump host, AWS Session Manager, or directly (from inside the network)',
    ),
  api: z
    .enum(['public', 'internal'])
    .default('public')
    .describe('visibility of the API load balancer; `public` admits spec.access.adminCidrs alone'),
  imageId: z
    .string()
    .optional()
    .describe('machine image; default: the newest one of `image`, looked up once and then kept'),
  image: z
    .enum(['debian-13', 'debian-12', 'ubuntu-24.04', 'ubuntu-22.04'])
    .default('debian-13')
    .describe('operating system of the nodes'),
  tags: z
    .record(z.string(), z.string())
    .default({})
    .describe('tags for all resources, in addition to those of clouder'),
  sharedFiles: z
    .boolean()
    .default(false)
    .describe('whether to create a shared file system (EFS, or Azure Files over NFS)'),
  checkpointRetentionDays: z
    .int()
    .min(1)
    .max(3650)
    .default(30)
    .describe('days after which checkpoints and backups are deleted from the object store'),
  deletionPolicy: z
    .enum(['delete', 'retain'])
    .default('delete')
    .describe('what happens to volumes, checkpoints and backups when the cluster is terminated'),
}

export const awsSchema = z.strictObject({
  region: z.string().optional().describe('default: the region of the context'),
  account: z.string().optional().describe('twelve digits; credentials of another account are refused'),
  profile: z.string().optional().describe("profile of the AWS configuration; default: the context's"),
  zones: z
    .array(z.string())
    .min(1)
    .max(3)
    .default(['a'])
    .describe('letters of the availability zones to spread nodes over: one or three'),
  network: z
    .strictObject({
      ...network('10.0.0.0/16'),
      existing: z
        .strictObject({
          vpcId: z.string(),
          privateSubnetIds: z.array(z.string()).default([]).describe('one per zone, in the order of `zones`'),
          publicSubnetIds: z.array(z.string()).default([]).describe('one per zone, in the order of `zones`'),
        })
        .optional()
        .describe('a VPC of your own to build in'),
    })
    .prefault({}),
  ...shared,
  elasticIps: z
    .boolean()
    .default(false)
    .describe('whether nodes keep their public addresses across restarts'),
  kmsKeyId: z.string().optional().describe('KMS key for disks and bucket; default: keys managed by AWS'),
  deletionProtection: z
    .boolean()
    .default(false)
    .describe(
      'whether AWS refuses to delete machines and load balancers of the API; `terminate` is refused until it is off',
    ),
})

export const azureSchema = z.strictObject({
  location: z.string().optional().describe('default: the location of the context'),
  subscription: z.string().optional().describe('UUID; credentials of another subscription are refused'),
  resourceGroup: z
    .string()
    .optional()
    .describe('existing resource group; default: one is created, named `clouder-<name>`'),
  zones: z
    .array(z.enum(['1', '2', '3']))
    .max(3)
    .default([])
    .describe('availability zones to spread machines over; empty: wherever there is capacity'),
  network: z
    .strictObject({
      ...network('10.0.0.0/16'),
      existing: z
        .strictObject({
          vnetId: z.string().describe('resource id of the virtual network'),
          subnetId: z.string().describe('resource id of the subnet of the nodes'),
          bastionSubnetId: z
            .string()
            .optional()
            .describe('resource id of the subnet of the jump host; default: that of the nodes'),
        })
        .optional()
        .describe('a virtual network of your own to build in'),
    })
    .prefault({}),
  ...shared,
  bastion: z
    .enum(['host', 'none'])
    .default('host')
    .describe('how SSH reaches private nodes: a small jump host, or directly (from inside the network)'),
  diskEncryptionSetId: z
    .string()
    .optional()
    .describe('disk encryption set with your own key; default: keys managed by Azure'),
})

/** Machines of a role or pool; what local and brought machines have themselves. */
export const machineShape = {
  size: z.string().optional().describe('`t3.large`, `Standard_D4s_v5`; aws and azure only'),
  diskGiB: z
    .int()
    .min(20)
    .max(16_384)
    .optional()
    .describe('size of the disk, default: 50; aws and azure only'),
}

const key = z.string().min(1).optional()

/** Where Terraform keeps what it made; credentials only from the clouds' own chains. */
export const stateSchema = z.strictObject({
  backend: z
    .enum(['local', 's3', 'azurerm', 'remote'])
    .default('local')
    .describe('where Terraform stores its state; `local`: next to the record of the cluster'),
  s3: z
    .strictObject({
      bucket: z.string().min(1),
      region: z.string().min(1),
      key: key.describe('default: `clouder/<name>.tfstate`'),
      profile: z.string().optional(),
      kmsKeyId: z.string().optional(),
    })
    .optional(),
  azurerm: z
    .strictObject({
      resourceGroup: z.string().min(1),
      storageAccount: z.string().min(1),
      container: z.string().min(1),
      key: key.describe('default: `clouder/<name>.tfstate`'),
    })
    .optional(),
  remote: z
    .strictObject({
      hostname: z.string().default('app.terraform.io'),
      organization: z.string().min(1),
      workspace: z.string().optional().describe('default: `clouder-<name>`'),
    })
    .optional(),
})
