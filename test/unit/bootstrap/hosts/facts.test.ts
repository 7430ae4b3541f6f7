import {expect, test} from 'vitest'
import {parseFacts} from '../../../../src/bootstrap/hosts/facts.ts'

const lines = [
  'clock\t1000000',
  'hostname\tcp-1',
  'osId\tubuntu',
  'osVersion\t24.04',
  'osPrettyName\tUbuntu 24.04.2 LTS',
  'machine\taarch64',
  'kernel\t6.8.0-1021-aws',
  'cgroup\tcgroup2fs',
  'capabilities\t000001ffffffffff',
  'cpus\t2',
  'memoryKiB\t3999999',
  'machineId\tec2f0d1c',
  'bootId\tb1',
  'systemd\tyes',
  'systemdResolved\tyes',
  'address\t1: lo    inet 127.0.0.1/8 scope host lo',
  'address\t2: ens5    inet 10.0.1.5/20 brd 10.0.15.255 scope global dynamic ens5',
  'address\t2: ens5    inet6 fe80::1/64 scope link',
  'address\t3: tun0    inet 10.8.0.2 peer 10.8.0.1/32 scope global tun0',
  'route\tdefault via 10.0.0.1 dev ens5 proto dhcp',
  'route\t10.0.0.0/20 dev ens5 proto kernel scope link src 10.0.1.5',
  'route\t10.0.0.2 dev ens5 proto dhcp scope link',
  'route\tblackhole 10.9.0.0/16',
  'route\tfe80::/64 dev ens5 proto kernel metric 256',
  'route\tfe80::/64 dev ens6 proto kernel metric 256',
  'clock\t1000040',
]
const trip = {sentAtMs: 999_000, receivedAtMs: 999_100}

test('facts are read from the lines of the script', () => {
  expect(parseFacts(lines.join('\n'), trip, {sudo: 'passwordless', apiForwarded: false})).toEqual({
    busy: false,
    facts: {
      hostname: 'cp-1',
      osId: 'ubuntu',
      osVersion: '24.04',
      osPrettyName: 'Ubuntu 24.04.2 LTS',
      arch: 'arm64',
      kernel: '6.8.0-1021-aws',
      cgroupVersion: 2,
      container: false,
      capSysResource: true,
      cpus: 2,
      memoryMiB: 3906,
      machineId: 'ec2f0d1c',
      bootId: 'b1',
      systemd: true,
      systemdResolved: true,
      addresses: ['10.0.1.5/20', 'fe80::1/64', '10.8.0.2/32'],
      routes: ['10.0.0.0/20', '10.0.0.2/32', '10.9.0.0/16', 'fe80::/64'],
      clockSkewMs: 970,
      clockSkewErrorMs: 30,
      apiForwarded: false,
      sudo: 'passwordless',
    },
  })
})

test('what is missing on a bare machine is empty, not an error', () => {
  const bare = lines
    .filter((line) => !/^(machineId|systemd|systemdResolved|address|route)\t/.test(line))
    .map((line) => line.replace('cgroup2fs', 'tmpfs').replace('000001ffffffffff', '00000000a80425fb'))
  const gathered = parseFacts([...bare, 'container\tyes'].join('\n'), trip, {
    sudo: 'root',
    apiForwarded: true,
  })
  expect(gathered).toMatchObject({
    facts: {
      machineId: '',
      systemd: false,
      systemdResolved: false,
      addresses: [],
      routes: [],
      cgroupVersion: 1,
      container: true,
      capSysResource: false,
    },
  })
})

test('a host that is still busy with an earlier run has no facts yet', () => {
  expect(parseFacts('busy\t123 lost\n', trip, {sudo: 'root', apiForwarded: true})).toEqual({busy: true})
})

test('output of something else is refused', () => {
  expect(() => parseFacts('Welcome!\n', trip, {sudo: 'root', apiForwarded: true})).toThrow()
})
