# Copyright 2026 The hbvla_ros Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""
Keep freed memory for the next inference.

glibc returns large blocks to the system when they are freed and clears new ones page by page. An
inference of a large model would allocate the same hundreds of megabytes again each time.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """
    Let this process keep what it frees, from now on; its peak stays the same.

    :return: False where the C library is not glibc; then nothing changes
    """
    if not sys.platform.startswith('linux'):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(set_option(_MMAP_THRESHOLD, _NEVER)) and bool(set_option(_TRIM_THRESHOLD, _NEVER))
