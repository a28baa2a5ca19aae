# SPDX-License-Identifier: Apache-2.0
import torch  # noqa: F401 - stands for a script that DeepSpeed writes here
