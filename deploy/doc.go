// Package deploy is where the ways to run weir are kept: manifests for Kubernetes,
// and, in the directory above, the Dockerfile. There is no code in it; its tests
// hold them to what weir is: every field known to the API, every setting known to
// config, every port one that is served, and the times of a pod's end in order.
package deploy
