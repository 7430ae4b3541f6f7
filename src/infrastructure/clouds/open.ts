import {checkAccount, type CloudOpener} from './cloud.ts'

/** Opens a cloud and refuses credentials of another account; each SDK is loaded only where it is used. */
export const openCloud: CloudOpener = async ({kind, region, profile, account, signal}) => {
  const cloud =
    kind === 'aws'
      ? await (await import('./aws.ts')).awsCloud({region, profile})
      : await (await import('./azure.ts')).azureCloud({location: region, subscription: account, signal})
  if (account !== undefined) checkAccount(await cloud.identity(signal), account)
  return cloud
}
