/**
 * Whether a version of a kind is from before another one. Kubernetes lets versions of one kind be compared as whole
 * numbers (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions); of API servers that have
 * others nothing is known, so none is older.
 */
export function isOlder(version: string | undefined, than: string | undefined): boolean {
  if (!isNumber(version) || !isNumber(than)) return false
  return version.length === than.length ? version < than : version.length < than.length
}

const isNumber = (version: string | undefined): version is string =>
  version !== undefined && /^[1-9]\d*$/.test(version)
