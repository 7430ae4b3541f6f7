import {execFile} from 'node:child_process'
import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {CreateSubnetCommand, CreateVpcCommand, EC2Client, RunInstancesCommand} from '@aws-sdk/client-ec2'
import {expect, test} from 'vitest'
import {openCloud} from '../../src/infrastructure/clouds/open.ts'
import {ensureSshKey} from '../../src/infrastructure/providers/ssh-key.ts'
import {cloudInitOf} from '../../src/spec/cloud-init.ts'
import {awsBodies} from '../support/aws-bodies.ts'
import {startAwsFront} from '../support/aws-front.ts'
import {withVariables} from '../support/aws-cloud.ts'
import {freeVpc} from '../support/aws-network.ts'
import {needMoto} from '../support/moto.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {needEngine} from '../support/with-engine.ts'

const run = promisify(execFile)

test('an instance boots at its own address, tells its host key, and lets in whom its user data names', async (context) => {
  const engine = await needEngine(context)
  const vpcCidr = await freeVpc(engine)
  await withTempFolder(async (dir) => {
    const key = join(dir, 'id')
    const UserData = Buffer.from(cloudInitOf(await ensureSshKey(key))).toString('base64')
    await using moto = await needMoto(context)
    await using bodies = await awsBodies({emulator: moto, engine, vpcCidr, dir})
    await using front = await startAwsFront({emulator: moto, consoleOf: (id) => bodies.consoleOf(id)})
    using _environment = withVariables(front.environment)
    const ec2 = new EC2Client({})
    const {Vpc} = await ec2.send(new CreateVpcCommand({CidrBlock: vpcCidr}))
    const {Subnet} = await ec2.send(new CreateSubnetCommand({VpcId: Vpc?.VpcId, CidrBlock: vpcCidr}))
    const {Instances: [instance] = []} = await ec2.send(
      new RunInstancesCommand({
        MinCount: 1,
        MaxCount: 1,
        SubnetId: Subnet?.SubnetId,
        UserData,
        ImageId: 'ami-03cf127a',
      }),
    )
    const {InstanceId: id = '', PrivateIpAddress: address = ''} = instance ?? {}

    const cloud = await openCloud({kind: 'aws', signal: context.signal})
    const hostKeys = (await cloud.hostKeys([id], context.signal)).get(id) ?? []
    expect(hostKeys).toHaveLength(1)
    const known = join(dir, 'known_hosts')
    await writeFile(known, `${address} ${hostKeys[0] ?? ''}\n`)
    const options = [
      '-o',
      'StrictHostKeyChecking=yes',
      '-o',
      `UserKnownHostsFile=${known}`,
      '-o',
      'BatchMode=yes',
    ]
    const ssh = (user: string) =>
      run('ssh', ['-i', key, ...options, `${user}@${address}`, 'sudo -n id -un; ip -brief address'])
    const {stdout} = await ssh('clouder')
    expect(stdout).toMatch(/^root\n/)
    expect(stdout).toContain(`${address}/20`)
    await expect(ssh('root')).rejects.toThrow('Permission denied')
    ec2.destroy()
  })
})
