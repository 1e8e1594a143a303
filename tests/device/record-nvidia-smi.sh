#!/usr/bin/env bash
# Records what nvidia-smi and the kernel say on a machine with a GPU, so that tests of src/drivers/signals run on real text.
#   tests/device/record-nvidia-smi.sh FOLDER
# Needs nvidia-smi; with python3 and torch it also records a process that holds memory and one that was ended.
# Changes no setting. Of each command: NAME.out, NAME.err, NAME.rc and NAME.ms in FOLDER.
set -u

if [ $# -ne 1 ]; then
  echo "usage: $0 FOLDER" >&2
  exit 64
fi
folder=$1
mkdir -p "$folder"

# Keep in step with src/drivers/signals/nvidia-smi/gpu-query.ts; a test compares them.
gpu_fields=index,uuid,name,pci.bus_id,driver_version,memory.total,memory.reserved,memory.used,memory.free,utilization.gpu,utilization.memory,temperature.gpu,power.draw,power.limit,clocks.sm,clocks.max.sm,clocks_event_reasons.active,ecc.errors.uncorrected.volatile.total,ecc.errors.corrected.volatile.total,remapped_rows.pending,remapped_rows.failure
app_fields=gpu_uuid,pid,process_name,used_gpu_memory

record() {
  local name=$1 began
  shift
  printf '%s\n' "$*" >"$folder/$name.command"
  began=$(date +%s%3N)
  timeout 20 "$@" >"$folder/$name.out" 2>"$folder/$name.err"
  echo $? >"$folder/$name.rc"
  echo $(($(date +%s%3N) - began)) >"$folder/$name.ms"
}

record_gpus() {
  record "$1-gpus" nvidia-smi "--query-gpu=$gpu_fields" --format=csv,noheader,nounits
  record "$1-apps" nvidia-smi "--query-compute-apps=$app_fields" --format=csv,noheader,nounits
}

record version nvidia-smi --version
record list nvidia-smi -L
record fields nvidia-smi --help-query-gpu
record_gpus idle
# The same by the older name of the field, and by a name that no driver knows.
record older-name nvidia-smi --query-gpu=index,clocks_throttle_reasons.active --format=csv,noheader,nounits
record unknown-field nvidia-smi --query-gpu=index,no.such_field,memory.used --format=csv,noheader,nounits
record unknown-gpu nvidia-smi --id=99 --query-gpu=index --format=csv,noheader,nounits
record nvlink-errors nvidia-smi nvlink -e
record nvlink-status nvidia-smi nvlink -s
record query nvidia-smi -q

# What may be read of the kernel log and of processes here.
record identity id
record kmsg timeout 2 dd if=/dev/kmsg iflag=nonblock bs=8192 count=400
record dmesg dmesg
for name in kmsg dmesg; do
  tail -n 400 "$folder/$name.out" >"$folder/$name.short" && mv "$folder/$name.short" "$folder/$name.out"
done
record cgroup cat /proc/self/cgroup
record cgroup-mounts grep cgroup /proc/self/mountinfo
record pid-namespace cat /proc/self/status

if python3 -c 'import torch; assert torch.cuda.is_available()' 2>"$folder/torch.err"; then
  # Holds 12 GiB and computes; its allocator keeps 4 GiB more than its tensors need.
  python3 - >"$folder/holder.log" 2>&1 <<'PYTHON' &
import time, torch
device = torch.device("cuda:0")
kept = torch.empty(12 << 30, dtype=torch.uint8, device=device)
spare = torch.empty(4 << 30, dtype=torch.uint8, device=device)
del spare
a = torch.randn(8192, 8192, device=device)
print("holds", torch.cuda.memory_allocated(), torch.cuda.memory_reserved(), flush=True)
end = time.time() + 60
while time.time() < end:
    a @ a
    torch.cuda.synchronize()
PYTHON
  holder=$!
  for _ in $(seq 1 100); do
    grep -q holds "$folder/holder.log" && break
    kill -0 "$holder" 2>/dev/null || break
    sleep 0.3
  done
  sleep 2
  echo "$holder" >"$folder/holder.pid"
  record_gpus held
  sleep 1
  record_gpus held-again
  record holder-status cat "/proc/$holder/status"
  record holder-stat cat "/proc/$holder/stat"
  record holder-stack cat "/proc/$holder/stack"
  record holder-wchan cat "/proc/$holder/wchan"
  # Stopped: it holds its memory and computes nothing.
  kill -STOP "$holder"
  sleep 2
  record_gpus stopped
  kill -CONT "$holder"
  kill -KILL "$holder"
  record at-once-apps nvidia-smi "--query-compute-apps=$app_fields" --format=csv,noheader,nounits
  wait "$holder" 2>/dev/null
  sleep 1
  record_gpus ended
fi

cat "$folder/idle-gpus.out" "$folder/held-apps.out" 2>/dev/null
echo "recorded into $folder"
