# Networks that write the weights of others
from .hypernetwork import Hypernetwork as Hypernetwork
from .constant_norm import constant_norm_encoding as constant_norm_encoding
