// The components of a node, and kubectl: built on Linux only, the one system that the kubelet and kube-proxy run on here.

package main

import (
	"context"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func init() {
	components["kube-scheduler"] = func() int { return cli.Run(scheduler.NewSchedulerCommand()) }
	components["kube-proxy"] = func() int { return cli.Run(proxy.NewProxyCommand()) }
	components["kubelet"] = func() int { return cli.Run(kubelet.NewKubeletCommand(context.Background())) }
	components["kubectl"] = func() int { return cli.Run(kubectl.NewDefaultKubectlCommand()) }
}
