import {contains, overlaps, parseCidr} from '../../../src/base/cidr.ts'
import {
  areUnique,
  type AzureRule,
  blocksOf,
  type Body,
  exactlyOne,
  type Found,
  isSet,
  numberOf,
  textOf,
  textsOf,
} from './rule.ts'

const zonesAreOneOrThree = (zones: unknown): boolean => [0, 1, 3].includes(textsOf(zones).length)

const vnetOf = (found: Found, subnet: Body) => found.behind(subnet.virtual_network_name)

const rangesOf = (body: Body) => textsOf(body.address_prefixes).flatMap((range) => parseCidr(range) ?? [])

function standsInVnet(subnet: Body, found: Found): boolean {
  const spaces = textsOf(vnetOf(found, subnet)?.body.address_space).flatMap((range) => parseCidr(range) ?? [])
  const texts = textsOf(subnet.address_prefixes)
  return texts.every((text) => {
    const [address = ''] = text.split('/')
    return spaces.some((space) => contains(space, address) && (parseCidr(text)?.prefix ?? 0) >= space.prefix)
  })
}

const hasOwnRange = (subnet: Body, found: Found, name: string): boolean =>
  found
    .of('azurerm_subnet')
    .filter((other) => other.name !== name)
    .every(({body}) => !rangesOf(body).some((range) => rangesOf(subnet).some((own) => overlaps(own, range))))

const frontendsOf = (found: Found, loadbalancerId: unknown) =>
  blocksOf(found.behind(loadbalancerId)?.body.frontend_ip_configuration)

/** Load balancers that an interface stands behind, by whether they have a public address. */
function balancersOf(found: Found, networkInterfaceId: unknown): readonly boolean[] {
  return found
    .of('azurerm_network_interface_backend_address_pool_association')
    .filter(({body}) => body.network_interface_id === networkInterfaceId)
    .map(({body}) => found.behind(body.backend_address_pool_id)?.body.loadbalancer_id)
    .map((id) => frontendsOf(found, id).some((frontend) => isSet(frontend.public_ip_address_id)))
}

const sourceFamilies = (rule: Body): readonly unknown[] =>
  textsOf(rule.source_address_prefixes).map((cidr) => parseCidr(cidr)?.family)

/** Rules about networks, addresses, firewalls and load balancers. */
export const networkRules: readonly AzureRule[] = [
  {
    resource: 'azurerm_resource_group',
    rule: 'a name has 1 to 90 letters, digits and ._-(), and does not end with a full stop',
    refusedBy: 'plan',
    holds: ({name}) => /^[\w.()-]{1,90}$/.test(textOf(name)) && !textOf(name).endsWith('.'),
    broken: (body) => ({...body, name: 'clouder.'}),
  },
  {
    resource: 'azurerm_virtual_network',
    rule: 'exactly one of address_space and ip_address_pool is set',
    refusedBy: 'plan',
    holds: (body) => exactlyOne(body, 'address_space', 'ip_address_pool'),
    broken: (body) => ({...body, address_space: undefined}),
  },
  {
    resource: 'azurerm_subnet',
    rule: 'exactly one of address_prefixes and ip_address_pool is set',
    refusedBy: 'plan',
    holds: (body) => exactlyOne(body, 'address_prefixes', 'ip_address_pool'),
    broken: (body) => ({...body, address_prefixes: undefined}),
  },
  {
    resource: 'azurerm_subnet',
    rule: 'a subnet lies inside its virtual network',
    refusedBy: 'Azure',
    holds: standsInVnet,
    broken: (body) => ({...body, address_prefixes: ['192.168.0.0/24']}),
  },
  {
    resource: 'azurerm_subnet',
    rule: 'subnets of one network do not overlap',
    refusedBy: 'Azure',
    holds: hasOwnRange,
    broken: (body) => ({...body, address_prefixes: ['10.0.0.0/16']}),
  },
  {
    resource: 'azurerm_subnet',
    rule: 'a subnet has at least eight addresses, five of which Azure reserves',
    refusedBy: 'Azure',
    holds: (body) => rangesOf(body).every(({prefix}) => prefix <= 29),
    broken: (body) => ({...body, address_prefixes: ['10.0.255.0/30']}),
  },
  {
    resource: 'azurerm_subnet_nat_gateway_association',
    rule: 'a subnet has one gateway, and an existing subnet keeps its own',
    refusedBy: 'Azure',
    holds: ({subnet_id: subnet}, found) =>
      found.behind(subnet)?.type === 'azurerm_subnet' &&
      found.of('azurerm_subnet_nat_gateway_association').filter(({body}) => body.subnet_id === subnet)
        .length === 1,
    broken: (body) => ({...body, subnet_id: '/subscriptions/brought'}),
  },
  {
    resource: 'azurerm_public_ip',
    rule: 'an address of the Standard SKU is Static',
    refusedBy: 'apply',
    holds: (body) => body.sku === 'Standard' && body.allocation_method === 'Static',
    broken: (body) => ({...body, allocation_method: 'Dynamic'}),
  },
  {
    resource: 'azurerm_public_ip',
    rule: 'zones are none, one or all three',
    refusedBy: 'Azure',
    holds: ({zones}) => zonesAreOneOrThree(zones),
    broken: (body) => ({...body, zones: ['1', '2']}),
  },
  {
    resource: 'azurerm_nat_gateway',
    rule: 'a gateway is in at most one zone',
    refusedBy: 'Azure',
    holds: ({zones}) => textsOf(zones).length <= 1,
    broken: (body) => ({...body, zones: ['1', '2', '3']}),
  },
  {
    resource: 'azurerm_nat_gateway_public_ip_association',
    rule: 'the address of a gateway has the Standard SKU and is in the same zone',
    refusedBy: 'Azure',
    holds: (body, found) => {
      const address = found.behind(body.public_ip_address_id)?.body ?? {}
      const [zone] = textsOf(found.behind(body.nat_gateway_id)?.body.zones)
      return address.sku === 'Standard' && (zone === undefined || textsOf(address.zones).includes(zone))
    },
    broken: (body) => ({...body, public_ip_address_id: '${azurerm_public_ip.none.id}'}),
  },
  {
    resource: 'azurerm_lb',
    rule: 'frontends are either all public or all in a subnet, and have zones only in a subnet',
    refusedBy: 'Azure',
    holds: (body) => {
      const frontends = blocksOf(body.frontend_ip_configuration)
      const inSubnet = frontends.filter(({subnet_id: subnet}) => isSet(subnet))
      const areAlike = inSubnet.length === 0 || inSubnet.length === frontends.length
      return (
        areAlike &&
        frontends.every(
          (one) => exactlyOne(one, 'subnet_id', 'public_ip_address_id') && zonesAreOneOrThree(one.zones),
        ) &&
        frontends.every((one) => isSet(one.subnet_id) || !isSet(one.zones))
      )
    },
    broken: (body) => ({
      ...body,
      frontend_ip_configuration: [{name: 'public', public_ip_address_id: 'id', zones: ['1']}],
    }),
  },
  {
    resource: 'azurerm_lb_probe',
    rule: 'a path is set for HTTP and HTTPS, and only for these',
    refusedBy: 'apply',
    holds: (body) => isSet(body.request_path) === ['Http', 'Https'].includes(textOf(body.protocol)),
    broken: (body) => ({...body, protocol: 'Tcp'}),
  },
  {
    resource: 'azurerm_lb_rule',
    rule: 'frontend, pool and probe belong to the same load balancer',
    refusedBy: 'apply',
    holds: (body, found) =>
      frontendsOf(found, body.loadbalancer_id).some(
        ({name}) => name === body.frontend_ip_configuration_name,
      ) &&
      [...textsOf(body.backend_address_pool_ids), textOf(body.probe_id)].every(
        (id) => found.behind(id)?.body.loadbalancer_id === body.loadbalancer_id,
      ),
    broken: (body) => ({...body, frontend_ip_configuration_name: 'other'}),
  },
  {
    resource: 'azurerm_lb_rule',
    rule: 'the idle timeout is 4 to 100 minutes',
    refusedBy: 'plan',
    holds: ({idle_timeout_in_minutes: minutes}) => numberOf(minutes) >= 4 && numberOf(minutes) <= 100,
    broken: (body) => ({...body, idle_timeout_in_minutes: 120}),
  },
  {
    resource: 'azurerm_lb_backend_address_pool',
    rule: 'a pool of network interfaces names no virtual network',
    refusedBy: 'apply',
    holds: (body) => !isSet(body.virtual_network_id),
    broken: (body) => ({...body, virtual_network_id: 'id'}),
  },
  {
    resource: 'azurerm_network_interface',
    rule: 'an IPv4 configuration has a subnet, and an address only if it is Static',
    refusedBy: 'apply',
    holds: ({ip_configuration: configurations}) =>
      blocksOf(configurations).every(
        (one) =>
          isSet(one.subnet_id) &&
          isSet(one.private_ip_address) === (one.private_ip_address_allocation === 'Static'),
      ),
    broken: (body) => ({
      ...body,
      ip_configuration: [{name: 'primary', private_ip_address_allocation: 'Static', subnet_id: 'id'}],
    }),
  },
  {
    resource: 'azurerm_network_interface_backend_address_pool_association',
    rule: 'the configuration belongs to the interface',
    refusedBy: 'apply',
    holds: (body, found) =>
      blocksOf(found.behind(body.network_interface_id)?.body.ip_configuration).some(
        ({name}) => name === body.ip_configuration_name,
      ),
    broken: (body) => ({...body, ip_configuration_name: 'other'}),
  },
  {
    resource: 'azurerm_network_interface_backend_address_pool_association',
    rule: 'an interface is behind at most one internal and one public load balancer',
    refusedBy: 'Azure',
    holds: (body, found) => areUnique(balancersOf(found, body.network_interface_id)),
    broken: (body) => ({...body, backend_address_pool_id: '${azurerm_lb_backend_address_pool.api.id}'}),
    where: ({backend_address_pool_id: pool}) => textOf(pool).includes('api-internal'),
  },
  {
    resource: 'azurerm_network_interface_security_group_association',
    rule: 'an interface has one network security group',
    refusedBy: 'apply',
    holds: (body, found) =>
      found
        .of('azurerm_network_interface_security_group_association')
        .filter((other) => other.body.network_interface_id === body.network_interface_id).length === 1,
    broken: (body) => ({...body, network_interface_id: '${azurerm_network_interface.worker-1.id}'}),
    where: ({network_interface_id: id}) => textOf(id).includes('.cp-1.'),
  },
  {
    resource: 'azurerm_network_interface_application_security_group_association',
    rule: 'the network security group of an interface and its application security groups are for the same role',
    refusedBy: 'Azure',
    holds: (body, found) => {
      const firewall = found
        .of('azurerm_network_interface_security_group_association')
        .find((other) => other.body.network_interface_id === body.network_interface_id)
      const role = found.behind(firewall?.body.network_security_group_id)?.name
      return role !== undefined && role === found.behind(body.application_security_group_id)?.name
    },
    broken: (body) => ({...body, application_security_group_id: 'id'}),
  },
  {
    resource: 'azurerm_application_security_group',
    rule: 'a name has 1 to 80 letters, digits and ._-',
    refusedBy: 'Azure',
    holds: ({name}) => /^\w[\w.-]{0,78}\w$/.test(textOf(name)),
    broken: (body) => ({...body, name: '-'}),
  },
  {
    resource: 'azurerm_network_security_group',
    rule: 'rules are inline or separate resources, not both',
    refusedBy: 'apply',
    holds: ({security_rule: inside}) => !isSet(inside),
    broken: (body) => ({...body, security_rule: [{}]}),
  },
  {
    resource: 'azurerm_network_security_rule',
    rule: 'priorities are 100 to 4096 and unique per network security group and direction',
    refusedBy: 'Azure',
    holds: (body, found) =>
      numberOf(body.priority) >= 100 &&
      numberOf(body.priority) <= 4096 &&
      areUnique(
        found
          .of('azurerm_network_security_rule')
          .filter((other) => other.body.network_security_group_name === body.network_security_group_name)
          .map((other) => `${textOf(other.body.direction)} ${numberOf(other.body.priority)}`),
      ),
    broken: (body) => ({...body, priority: 4096}),
    where: ({access}) => access === 'Allow',
  },
  {
    resource: 'azurerm_network_security_rule',
    rule: 'source, destination and ports are each set in exactly one way',
    refusedBy: 'apply',
    holds: (body) =>
      (['source', 'destination'] as const).every(
        (side) =>
          exactlyOne(
            body,
            `${side}_address_prefix`,
            `${side}_address_prefixes`,
            `${side}_application_security_group_ids`,
          ) && exactlyOne(body, `${side}_port_range`, `${side}_port_ranges`),
      ),
    broken: (body) => ({...body, source_address_prefix: '*', source_address_prefixes: ['10.0.0.0/8']}),
  },
  {
    resource: 'azurerm_network_security_rule',
    rule: 'a rule does not mix IPv4 and IPv6 sources',
    refusedBy: 'Azure',
    holds: (body) => new Set(sourceFamilies(body)).size <= 1,
    broken: (body) => ({...body, source_address_prefixes: ['10.0.0.0/8', 'fd00::/8']}),
  },
  {
    resource: 'azurerm_network_security_rule',
    rule: 'application security groups belong to the cluster, all in one virtual network',
    refusedBy: 'Azure',
    holds: (body, found) =>
      textsOf(body.source_application_security_group_ids).every(
        (id) => found.behind(id)?.type === 'azurerm_application_security_group',
      ),
    broken: (body) => ({...body, source_application_security_group_ids: ['/subscriptions/other']}),
  },
]
