package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// keepQueue gives weir a volume for asynchronous calls.
func (p *plan) keepQueue(o Options, spec *corev1.PodSpec, weir *corev1.Container) {
	volume := corev1.Volume{Name: queueName}
	name := strings.TrimPrefix(o.QueueVolume, claimPrefix)
	switch {
	case strings.HasPrefix(o.QueueVolume, mountPrefix):
		volume.Name = strings.TrimPrefix(o.QueueVolume, mountPrefix)
	case name != o.QueueVolume:
		volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}
		p.note(at("spec"), "the queue of each pod needs a claim of its own: with several replicas, use a StatefulSet's claim template and --queue-volume mount:NAME, or nats-url")
	default:
		volume.EmptyDir = &corev1.EmptyDirVolumeSource{}
		p.note(at("spec"), "asynchronous calls that were accepted survive weir, but not the pod: use --queue-volume pvc:NAME or mount:NAME, or nats-url, where they have to")
	}
	if volume.EmptyDir == nil && (spec.SecurityContext == nil || spec.SecurityContext.FSGroup == nil) {
		p.note(at("spec"), "weir runs as %s and has to write to the queue's volume: set the pod's securityContext.fsGroup", o.RunAsUser)
	}
	weir.VolumeMounts = append(weir.VolumeMounts, corev1.VolumeMount{Name: volume.Name, MountPath: queueDir})
	switch {
	case volume.EmptyDir == nil && volume.PersistentVolumeClaim == nil: // the pod's own
	case len(spec.Volumes) == 0:
		p.add(at("spec", "volumes"), []corev1.Volume{volume})
	default:
		p.add(at("spec", "volumes", "-"), volume)
	}
}

// placeAdmin keeps weir's management API, which is on the pod's loopback address,
// away from a port that the pod declares, and off where loopback is the node's.
func (o Options) placeAdmin(spec *corev1.PodSpec, ports *taken) {
	if _, asked := o.Settings["admin-listen"]; asked {
		return
	}
	declared := func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == adminPort })
	}
	switch {
	case spec.HostNetwork:
		o.Settings["admin-listen"] = ""
	case slices.ContainsFunc(spec.Containers, declared), slices.ContainsFunc(spec.InitContainers, declared):
		o.Settings["admin-listen"] = fmt.Sprintf("127.0.0.1:%d", ports.free(0, adminPort+1))
	}
}
