export const ADDON = 'local-path-storage'
export const NAMESPACE = 'local-path-storage'
export const STORAGE_CLASS = 'local-path'
