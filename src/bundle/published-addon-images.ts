import type {CatalogueImage} from './catalogue-items.ts'
import {PUBLISHED_PINS} from './pins.ts'

const {azureCloudProvider, azureDisk, azureFile, ebs, efs, loadBalancerController, sidecars} = PUBLISHED_PINS

/** Images of addons that no Go module makes here, by the references of their authors. */
export function publishedAddonImages(): readonly CatalogueImage[] {
  const sidecar = (name: string, version: string, published = name): CatalogueImage =>
    publishedImage(name, version, `registry.k8s.io/sig-storage/${published}`)
  return [
    sidecar('csi-provisioner', sidecars.provisioner),
    sidecar('csi-attacher', sidecars.attacher),
    sidecar('csi-resizer', sidecars.resizer),
    sidecar('csi-snapshotter', sidecars.snapshotter),
    sidecar('snapshot-controller', sidecars.snapshotter),
    sidecar('csi-node-driver-registrar', sidecars.nodeDriverRegistrar),
    sidecar('csi-livenessprobe', sidecars.livenessProbe, 'livenessprobe'),
    publishedImage('aws-ebs-csi-driver', ebs, 'public.ecr.aws/ebs-csi-driver/aws-ebs-csi-driver'),
    publishedImage('aws-efs-csi-driver', efs, 'public.ecr.aws/efs-csi-driver/amazon/aws-efs-csi-driver'),
    publishedImage(
      'aws-load-balancer-controller',
      loadBalancerController,
      'public.ecr.aws/eks/aws-load-balancer-controller',
    ),
    publishedImage(
      'azure-cloud-controller-manager',
      azureCloudProvider,
      'mcr.microsoft.com/oss/v2/kubernetes/azure-cloud-controller-manager',
    ),
    publishedImage('azuredisk-csi', azureDisk, 'mcr.microsoft.com/oss/v2/kubernetes-csi/azuredisk-csi'),
    publishedImage('azurefile-csi', azureFile, 'mcr.microsoft.com/oss/v2/kubernetes-csi/azurefile-csi'),
  ]
}

const publishedImage = (name: string, version: string, repository: string): CatalogueImage => ({
  kind: 'image',
  name,
  version,
  reference: `${repository}:v${version}`,
  recipe: {published: true},
  addon: true,
})
